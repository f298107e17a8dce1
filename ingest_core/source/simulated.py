"""A source without an API behind it: every ID has an item, the same each time, after a small delay."""

import json
from collections.abc import Awaitable, Callable, Sequence

from ingest_core.ports import Answer, Clock
from ingest_core.source.calls import fetch_each


async def _succeed(_item_id: int) -> None:
    """Let every fetch succeed."""


class SimulatedSource:
    """A `Source` that answers `{"id":7,"simulated":true}` after `delay_seconds`.

    `before_answer` is called with the ID after the delay. If it raises, the fetch ends with that error; while it
    waits, the fetch waits.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        delay_seconds: float = 0.1,
        before_answer: Callable[[int], Awaitable[None]] = _succeed,
    ) -> None:
        self._clock = clock
        self._delay_seconds = delay_seconds
        self._before_answer = before_answer

    async def fetch_batch(self, ids: Sequence[int], *, timeout_seconds: float) -> Sequence[Answer]:
        return await fetch_each(self._fetch, ids, timeout_seconds=timeout_seconds)

    async def close(self) -> None:
        """Do nothing: there are no connections."""

    async def _fetch(self, item_id: int) -> str:
        await self._clock.sleep(self._delay_seconds)
        await self._before_answer(item_id)
        return json.dumps({"id": item_id, "simulated": True}, separators=(",", ":"))
