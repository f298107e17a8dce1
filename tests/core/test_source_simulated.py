import asyncio
import json
from datetime import UTC, datetime

import pytest

from ingest_core.adapters.source_simulated import SimulatedSource
from ingest_core.errors import ItemRejected


class NotingClock:
    """A clock on which nothing takes time; it notes the sleeps that it was asked for."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return 0.0

    def now(self) -> datetime:
        return datetime(2024, 1, 1, tzinfo=UTC)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


async def test_every_id_has_an_item_that_names_it() -> None:
    """The same compact JSON each time."""
    source = SimulatedSource(clock=NotingClock())
    assert await source.fetch(7) == '{"id":7,"simulated":true}'
    assert json.loads(await source.fetch(1_000_000_007))["id"] == 1_000_000_007
    await source.close()


async def test_the_delay_passes_on_the_given_clock() -> None:
    """Time is an argument: a test with a fake clock does not wait."""
    clock = NotingClock()
    await SimulatedSource(clock=clock, delay_seconds=2.5).fetch(1)
    await SimulatedSource(clock=clock).fetch(1)
    assert clock.slept == [2.5, 0.1]


async def test_it_fails_for_the_id_that_a_test_chose() -> None:
    """What the hook raises, the fetch raises; other IDs are not concerned."""

    async def refuse_7(item_id: int) -> None:
        if item_id == 7:
            raise ItemRejected("no such item")

    source = SimulatedSource(clock=NotingClock(), before_answer=refuse_7)
    with pytest.raises(ItemRejected):
        await source.fetch(7)
    assert await source.fetch(8)


async def test_it_answers_only_when_the_hook_lets_it() -> None:
    """A test can hold a fetch for as long as it likes."""
    let_go = asyncio.Event()

    async def wait(_item_id: int) -> None:
        await let_go.wait()

    source = SimulatedSource(clock=NotingClock(), before_answer=wait)
    fetch = asyncio.create_task(source.fetch(1))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await asyncio.shield(fetch)
    assert not fetch.done()
    let_go.set()
    assert await fetch
