"""An external API that is not there: every ID has an item, the same each time, after a small delay."""

import json
from collections.abc import Awaitable, Callable

from ingest_core.ports import Clock


async def _agree(_item_id: int) -> None:
    """Let every fetch succeed."""


class SimulatedSource:
    """A `Source` that answers `{"id":7,"simulated":true}` after `delay_seconds`.

    `before_answer` is called with the ID after the delay; what it raises, the fetch raises, and as long as it
    waits, the fetch waits.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        delay_seconds: float = 0.1,
        before_answer: Callable[[int], Awaitable[None]] = _agree,
    ) -> None:
        self._clock = clock
        self._delay_seconds = delay_seconds
        self._before_answer = before_answer

    async def fetch(self, item_id: int) -> str:
        await self._clock.sleep(self._delay_seconds)
        await self._before_answer(item_id)
        return json.dumps({"id": item_id, "simulated": True}, separators=(",", ":"))

    async def close(self) -> None:
        """Do nothing: there are no connections."""
