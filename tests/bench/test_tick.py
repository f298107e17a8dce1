"""What the benchmark of the dispatcher measures is there: slots, idle ticks, a history that upkeep accepts."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bench.history import add_finished
from bench.status import ingestion
from bench.tick import KINDS, Bench
from devtools.azurite import azurite
from ingest_core.dispatch.upkeep import UpkeepReport
from ingest_core.models import Priority, Status

COUNT = 3


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """The service on an Azurite of its own, with nothing to do, as the gate's owner."""
    with azurite(tmp_path) as storage:
        one = Bench(storage)
        await one.accept(3, Priority.HIGH)
        await one.start(1)
        await one.finish()
        yield one
        await one.service.storage.close()


async def test_slots_and_idle_ticks_take_the_calls_that_are_claimed(bench: Bench) -> None:
    """Between two starts nothing but one slot's calls is counted; an idle tick peeks into each lane."""
    await bench.idle()
    for lane in (Priority.HIGH, Priority.LOW):
        await bench.accept(3 * (COUNT + 2), lane)
        await bench.slots(lane, COUNT)
        await bench.finish()
    calls = bench.found.calls
    assert calls == {kind: [pytest.approx(count, abs=0.5)] for kind, count in KINDS.items()}


async def test_upkeep_finds_nothing_wrong_with_the_history(bench: Bench) -> None:
    """Else the benchmark would time repairs."""
    await add_finished(bench.service)
    await bench.accept(3, Priority.LOW)
    assert await bench.service.parts.upkeep.run() == UpkeepReport()
    listed = [row async for row in bench.service.parts.stores.history.rows()]
    assert len(listed) == 2  # the list of the fixture is the other one


@pytest.mark.parametrize(
    ("state", "status", "completed"),
    [
        ("start", Status.YET_TO_START, 0),
        ("half-way", Status.TRIGGERED, 50),
        ("finished", Status.COMPLETED, 100),
    ],
)
def test_an_ingestion_is_in_the_state_that_is_asked_for(state: str, status: Status, completed: int) -> None:
    """A hundred batches."""
    one = ingestion(300, state)
    assert (one.status, one.completed_count) == (status, completed)
