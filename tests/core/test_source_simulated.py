import asyncio
import json
from datetime import UTC, datetime

from ingest_core.errors import ItemRejected
from ingest_core.ports import Answer
from ingest_core.source.simulated import SimulatedSource


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


async def fetch(source: SimulatedSource, item_id: int) -> Answer:
    """The answer for one ID."""
    [answer] = await source.fetch_batch([item_id], timeout_seconds=60)
    return answer


async def test_every_id_has_an_item_that_names_it() -> None:
    """The same compact JSON each time."""
    source = SimulatedSource(clock=NotingClock())
    assert await fetch(source, 7) == '{"id":7,"simulated":true}'
    assert json.loads(str(await fetch(source, 1_000_000_007)))["id"] == 1_000_000_007
    await source.close()


async def test_the_delay_passes_on_the_given_clock() -> None:
    """Time is an argument: a test with a fake clock does not wait."""
    clock = NotingClock()
    await fetch(SimulatedSource(clock=clock, delay_seconds=2.5), 1)
    await fetch(SimulatedSource(clock=clock), 1)
    assert clock.slept == [2.5, 0.1]


async def test_it_fails_for_the_id_that_a_test_chose() -> None:
    """What the hook raises is that ID's answer; other IDs are not concerned."""

    async def refuse_7(item_id: int) -> None:
        if item_id == 7:
            raise ItemRejected("no such item")

    source = SimulatedSource(clock=NotingClock(), before_answer=refuse_7)
    assert isinstance(await fetch(source, 7), ItemRejected)
    assert isinstance(await fetch(source, 8), str)


async def test_it_answers_only_when_the_hook_lets_it() -> None:
    """A test can hold a fetch for as long as it likes."""
    let_go = asyncio.Event()

    async def wait(_item_id: int) -> None:
        await let_go.wait()

    source = SimulatedSource(clock=NotingClock(), before_answer=wait)
    fetching = asyncio.create_task(fetch(source, 1))
    for _ in range(10):
        await asyncio.sleep(0)
    assert not fetching.done()
    let_go.set()
    assert isinstance(await fetching, str)
