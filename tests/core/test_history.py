"""Tests of the history: a row for each closed ingestion, over all days, newest first."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from ingest_core.models import Ingestion, Priority, Status
from ingest_core.storage.history import ClosedIngestion, History
from ingest_core.storage.memory import Account, MemoryStorage

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def ended(at: datetime = NOON, **fields: object) -> Ingestion:
    """An ingestion of three batches, of which one has failed and one was cancelled."""
    given: dict = {
        "ingestion_id": uuid4(), "priority": Priority.LOW, "created_at": at, "queued_at": at, "id_count": 9,
        "batch_size": 3, "digest": "", "label": "x", "started_batches": 2, "failed": b"\x01", "error_count": 3,
        "cancel_requested_at": at, "ended_at": at + timedelta(hours=1), "retry_of": UUID(int=5), **fields,
    }  # fmt: skip
    return Ingestion(**given)


@pytest.fixture
def storage() -> MemoryStorage:
    """A storage account."""
    return MemoryStorage(Account(now=lambda: NOON))


@pytest.fixture
def history(storage: MemoryStorage) -> History:
    """Its history."""
    return History(storage.history)


async def all_of(history: History, after: str = "") -> list[ClosedIngestion]:
    """The rows, as they come."""
    return [row async for row in history.rows(after=after) if isinstance(row, ClosedIngestion)]


async def test_a_row_says_how_the_ingestion_ended(history: History) -> None:
    """Its counts and times."""
    one = ended()
    await history.put(one)
    (row,) = await all_of(history)
    assert (row.ingestion_id, row.status, row.priority, row.label) == (
        one.ingestion_id, Status.CANCELLED, Priority.LOW, "x",
    )  # fmt: skip
    assert (row.id_count, row.batch_count, row.error_count, row.retry_of) == (9, 3, 3, UUID(int=5))
    assert (row.completed_count, row.failed_count, row.cancelled_count) == (1, 1, 1)
    assert (row.created_at, row.ended_at) == (NOON, NOON + timedelta(hours=1))


async def test_a_row_may_be_written_again(history: History) -> None:
    """Closing is repeated when it broke off."""
    one = ended()
    assert not await history.contains(one)
    for _ in range(2):
        await history.put(one)
    assert await history.contains(one)
    assert len(await all_of(history)) == 1


async def test_rows_come_newest_first_over_days_and_go_on_behind_any_key(history: History) -> None:
    """Beside midnight, and across months that are empty."""
    midnight = datetime(2026, 3, 1, tzinfo=UTC)
    moments = [midnight + timedelta(microseconds=step) for step in (-1, 0, 1)]
    moments += [NOON - timedelta(days=days) for days in (0, 1, 90, 4000)]
    closed = [ended(moment) for moment in moments]
    for one in closed:
        await history.put(one)
    expected = [one.ingestion_id for one in sorted(closed, key=lambda one: one.created_at, reverse=True)]
    found = await all_of(history)
    assert [row.ingestion_id for row in found] == expected
    for place, row in enumerate(found):
        assert [behind.ingestion_id for behind in await all_of(history, row.row_key)] == expected[place + 1 :]


@pytest.mark.parametrize("microseconds", [-1, 0, 1])
async def test_created_before_a_moment_is_exact(history: History, microseconds: int) -> None:
    """To the microsecond, within a day and beside midnight."""
    for moment in (NOON, datetime(2026, 3, 1, tzinfo=UTC)):
        one = ended(moment + timedelta(microseconds=microseconds))
        await history.put(one)
        found = [row.ingestion_id async for row in history.created_before(moment) if isinstance(row, ClosedIngestion)]
        assert (one.ingestion_id in found) == (microseconds < 0)


async def test_a_walk_goes_on_behind_a_key_while_rows_are_deleted(history: History) -> None:
    """Retention deletes what it walks over, in slices."""
    for number in range(250):
        await history.put(ended(NOON - timedelta(minutes=number)))
    seen = 0
    after = ""
    while True:
        found = []
        async for row in history.created_before(NOON + timedelta(1), after=after):
            assert isinstance(row, ClosedIngestion)
            found.append(row)
            await history.delete(row)
            if len(found) == 70:
                break
        if not found:
            break
        seen += len(found)
        after = found[-1].row_key
    assert seen == 250
    assert await all_of(history) == []
