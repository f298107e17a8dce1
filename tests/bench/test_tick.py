"""The benchmark of the dispatcher: slots, idle ticks, and a history that upkeep accepts."""

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
    """The service on its own Azurite. It is the gate's owner and has nothing to do."""
    with azurite(tmp_path) as storage:
        idle = Bench(storage)
        await idle.accept(3, Priority.HIGH)
        await idle.start(1)
        await idle.finish()
        yield idle
        await idle.service.storage.close()


async def test_slots_and_idle_ticks_take_the_stated_number_of_calls(bench: Bench) -> None:
    """Between two starts, only the calls of one slot are counted. An idle tick peeks into each lane."""
    await bench.idle()
    for lane in (Priority.HIGH, Priority.LOW):
        await bench.accept(3 * (COUNT + 2), lane)
        await bench.slots(lane, COUNT)
        await bench.finish()
    calls = bench.measured.calls
    assert calls == {kind: [pytest.approx(count, abs=0.5)] for kind, count in KINDS.items()}


async def test_upkeep_finds_nothing_wrong_with_the_history(bench: Bench) -> None:
    """Otherwise the benchmark would measure repairs."""
    await add_finished(bench.service, 1)
    await bench.accept(3, Priority.LOW)
    assert await bench.service.parts.upkeep.run() == UpkeepReport()
    listed = [row async for row in bench.service.parts.stores.history.rows()]
    assert len(listed) == 2  # the fixture has added the other ingestion


@pytest.mark.parametrize(
    ("state", "status", "completed"),
    [
        ("start", Status.YET_TO_START, 0),
        ("half-way", Status.TRIGGERED, 50),
        ("finished", Status.COMPLETED, 100),
    ],
)
def test_an_ingestion_has_the_requested_state(state: str, status: Status, completed: int) -> None:
    """It has a hundred batches."""
    made = ingestion(300, state)
    assert (made.status, made.completed_count) == (status, completed)
