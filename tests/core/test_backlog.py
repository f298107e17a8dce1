"""Tests of the backlog: a row for each open ingestion, newest first, and writes that never undo a younger change."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID, uuid4

import pytest

from ingest_core.errors import StorageUnavailable
from ingest_core.models import Ingestion, Priority
from ingest_core.storage.backlog import Backlog, OpenIngestion, ingestion_id_in, inverted, row_key
from ingest_core.storage.memory import Account, MemoryStorage

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def new(seconds: float = 0.0, **fields: object) -> Ingestion:
    """An ingestion that was accepted so many seconds later than others."""
    at = NOW + timedelta(seconds=seconds)
    given: dict = {
        "ingestion_id": uuid4(), "priority": Priority.HIGH, "created_at": at, "queued_at": at, "id_count": 9,
        "batch_size": 3, "digest": "", "label": "x", **fields,
    }  # fmt: skip
    return Ingestion(**given)


@pytest.fixture
def account() -> Account:
    """A storage account."""
    return Account(now=lambda: NOW + timedelta(hours=1))


@pytest.fixture
def backlog(account: Account) -> Backlog:
    """The backlog of that account."""
    return Backlog(MemoryStorage(account).backlog)


async def rows(backlog: Backlog, after: str = "") -> list[OpenIngestion]:
    """The rows, as they come."""
    return [row async for row in backlog.rows(after=after) if isinstance(row, OpenIngestion)]


async def test_a_row_says_what_the_ingestion_says(backlog: Backlog) -> None:
    """And when storage wrote it, by its own clock."""
    one = new(priority=Priority.LOW, generation=2, started_batches=1)
    assert await backlog.insert(one)
    assert await rows(backlog) == [
        OpenIngestion(
            ingestion_id=one.ingestion_id,
            priority=Priority.LOW,
            generation=2,
            created_at=NOW,
            queued_at=NOW,
            batches_left=2,
            label="x",
            row_key=row_key(one),
            touched_at=NOW + timedelta(hours=1),
        )
    ]


async def test_a_second_insert_keeps_the_first_row(backlog: Backlog) -> None:
    """Two callers with one key at once: one backlog row."""
    one = new()
    assert await backlog.insert(one)
    assert not await backlog.insert(replace(one, generation=5))
    assert [row.generation for row in await rows(backlog)] == [0]


async def test_rows_come_newest_first_and_go_on_behind_a_key(backlog: Backlog) -> None:
    """Down to microseconds, whatever the time zone."""
    ages = [0.0, 0.000001, 0.9, 1.0, 86_400.0, 40 * 365 * 86_400.0]
    accepted = [new(seconds) for seconds in ages]
    accepted.append(new(0.5, created_at=(NOW + timedelta(seconds=0.5)).astimezone(timezone(timedelta(hours=-7)))))
    for one in accepted:
        await backlog.insert(one)
    expected = [one.ingestion_id for one in sorted(accepted, key=lambda one: one.created_at, reverse=True)]
    found = await rows(backlog)
    assert [row.ingestion_id for row in found] == expected
    assert [row.ingestion_id for row in await rows(backlog, found[2].row_key)] == expected[3:]
    assert await rows(backlog, found[-1].row_key) == []


async def test_everything_comes_in_the_order_in_which_it_was_queued(backlog: Backlog) -> None:
    """A change of priority sends an ingestion to the back."""
    one, two, three = new(1), new(2), new(3)
    for each in (three, one, two):
        await backlog.insert(each)
    await backlog.update(one.moved(Priority.LOW, at=NOW + timedelta(seconds=9)))
    assert [row.ingestion_id for row in await backlog.everything()] == [each.ingestion_id for each in (two, three, one)]


async def test_an_update_changes_a_row_that_exists_and_no_younger_generation(backlog: Backlog) -> None:
    """A late write of an earlier change must not undo a later one."""
    one = new()
    await backlog.update(one)
    assert await rows(backlog) == []
    await backlog.insert(one)
    younger = one.moved(Priority.LOW, at=NOW).moved(Priority.MEDIUM, at=NOW)
    await backlog.update(younger)
    await backlog.update(one.moved(Priority.LOW, at=NOW))
    (row,) = await rows(backlog)
    assert (row.priority, row.generation) == (Priority.MEDIUM, 2)


async def test_two_updates_at_once_leave_the_younger(account: Account) -> None:
    """The row changes between the read and the write of the older one."""
    one = new()
    other = Backlog(MemoryStorage(account).backlog)
    await other.insert(one)

    async def change_first(call: str) -> None:
        if call == "table.merge":
            await other.update(replace(one, generation=2))

    await Backlog(MemoryStorage(account, before=change_first).backlog).update(replace(one, generation=1))
    assert [row.generation for row in await rows(other)] == [2]


async def test_a_row_that_changes_under_every_update_is_given_up(account: Account) -> None:
    """No loop is without a bound."""
    one = new()
    other = MemoryStorage(account).backlog
    await Backlog(other).insert(one)

    async def touch(call: str) -> None:
        if call == "table.merge":
            await other.merge({"PartitionKey": "open", "RowKey": row_key(one)}, etag=None)

    with pytest.raises(StorageUnavailable):
        await Backlog(MemoryStorage(account, before=touch).backlog).update(one)


async def test_a_repair_replaces_a_row_that_exists(account: Account, backlog: Backlog) -> None:
    """Whatever stands in it; a row that is gone stays gone."""
    one = new()
    await backlog.repair(one)
    assert await rows(backlog) == []
    await MemoryStorage(account).backlog.insert(
        {"PartitionKey": "open", "RowKey": row_key(one), "generation": 99, "foreign": "x"}
    )
    await backlog.repair(one)
    (stored,) = account.table("backlog").values()
    assert (await rows(backlog))[0].generation == 0
    assert "foreign" not in stored.entity


async def test_a_deletion_may_be_repeated(backlog: Backlog) -> None:
    """Whoever closes it second finds nothing."""
    one = new()
    await backlog.insert(one)
    await backlog.delete(row_key(one))
    await backlog.delete(row_key(one))
    assert await rows(backlog) == []


def test_a_key_names_its_ingestion() -> None:
    """And anything else names none."""
    one = new()
    assert ingestion_id_in(row_key(one)) == one.ingestion_id
    assert [ingestion_id_in(key) for key in ("", "mine", row_key(one)[:-1], f"{inverted(NOW)}-x")] == [None] * 4
    assert isinstance(ingestion_id_in(row_key(one)), UUID)
