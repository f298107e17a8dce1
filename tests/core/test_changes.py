"""Tests of the conditional write: whatever storage answers and whoever else writes, a change is written once."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from ingest_core.errors import Changed, StorageDenied, StorageUnavailable
from ingest_core.models import BatchRecord, Ingestion, Priority, Status
from ingest_core.storage.changes import ATTEMPTS, Version, write_change
from ingest_core.storage.ingestions import Ingestions
from ingest_core.storage.memory import Account, MemoryStorage

NOW = datetime(2026, 1, 1, tzinfo=UTC)
Value = frozenset[str]


@dataclass
class Row:
    """A row that is a set of words, and what happens to each write of it: in turn, then nothing."""

    value: Value = frozenset()
    version: int = 0
    reads: int = 0
    fates: deque[str] = field(default_factory=deque)

    async def read(self) -> Version[Value]:
        self.reads += 1
        return self.present()

    def present(self) -> Version[Value]:
        """The version in storage."""
        return Version(value=self.value, etag=str(self.version))

    def put(self, value: Value) -> None:
        """Write without asking."""
        self.value, self.version = value, self.version + 1

    async def write(self, after: Value, etag: str) -> str:
        fate = self.fates.popleft() if self.fates else ""
        if fate.startswith("other"):
            self.put(self.value | {fate})
        if fate == "refused":
            raise StorageDenied("cannot merge: storage answered 403")
        if fate == "unreached":
            raise StorageUnavailable(fate)
        if etag != str(self.version):
            raise Changed("etag")
        self.put(after)
        if fate == "answer lost, other":
            self.put(self.value | {"other"})
        if fate.startswith("answer lost"):
            raise StorageUnavailable(fate)
        return str(self.version)

    async def change(
        self, change: Callable[[Value], Value | None], known: Version[Value] | None = None
    ) -> Version[Value] | None:
        """Write a change that is recognised by its word."""
        return await write_change(change, read=self.read, write=self.write, is_own=has_mine, known=known)


async def has_mine(present: Value, written: Value) -> bool:
    """Whether what was read back contains what was written."""
    return written & {"mine"} <= present and "mine" in present


def add_mine(value: Value) -> Value:
    """The change; doing it twice would show."""
    assert "mine" not in value
    return value | {"mine"}


@pytest.mark.parametrize("fate", ["", "other 1", "unreached", "answer lost", "answer lost, other"])
@pytest.mark.parametrize("second_fate", ["", "other 2", "unreached", "answer lost", "answer lost, other"])
async def test_a_change_is_written_exactly_once_and_loses_nobody_elses(fate: str, second_fate: str) -> None:
    """The write succeeds, conflicts, is not reached, or its answer is lost and the row was changed since."""
    row = Row(fates=deque([fate, second_fate]))
    written = await row.change(add_mine)
    assert written == row.present()
    assert "mine" in row.value
    assert {one for one in (fate, second_fate) if one.startswith("other")} - {second_fate} <= row.value


async def test_a_known_version_saves_the_read() -> None:
    """Most often it is still the present one."""
    row = Row()
    await row.change(add_mine, known=row.present())
    assert row.reads == 0


async def test_only_the_present_value_may_refuse() -> None:
    """What is known may be old: it refuses although the change is possible now."""
    row = Row(value=frozenset({"closed"}))
    known = row.present()
    row.put(frozenset({"open"}))
    written = await row.change(lambda value: None if "closed" in value else value | {"mine"}, known=known)
    assert written is not None
    assert row.value == {"open", "mine"}


async def test_a_refusal_after_a_conflict_writes_nothing() -> None:
    """Somebody else was first."""
    row = Row(fates=deque(["other"]))
    assert await row.change(lambda value: None if "other" in value else value | {"mine"}) is None
    assert row.value == {"other"}


async def test_a_refusal_of_the_known_and_of_the_present_value_reads_once() -> None:
    """Nothing is to be done."""
    row = Row(value=frozenset({"closed"}))
    assert await row.change(lambda _: None, known=row.present()) is None
    assert row.reads == 1


async def test_a_row_that_changes_under_every_write_is_given_up() -> None:
    """No loop is without a bound."""
    row = Row(fates=deque(f"other {number}" for number in range(1000)))
    with pytest.raises(StorageUnavailable, match="changed under each"):
        await row.change(add_mine)
    assert row.reads == ATTEMPTS + 1


async def test_a_write_that_is_not_permitted_is_tried_once() -> None:
    """It would be refused each time, and the error must say what storage has said."""
    row = Row(fates=deque(["refused"] * 1000))
    with pytest.raises(StorageDenied, match="answered 403"):
        await row.change(add_mine)
    assert row.reads == 1


async def test_a_write_that_fails_each_time_says_how() -> None:
    """While reading works."""
    row = Row(fates=deque(["unreached"] * 1000))
    with pytest.raises(StorageUnavailable, match="unreached"):
        await row.change(add_mine)


def batch_end(index: int) -> tuple[Callable[[Ingestion], Ingestion | None], BatchRecord]:
    """The end of a batch, as its task writes it."""
    record = BatchRecord(
        index=index, status=Status.COMPLETED, attempts=1, triggered_at=NOW, completed_at=NOW, token=f"t{index}"
    )

    def change(row: Ingestion) -> Ingestion | None:
        after = row.batch_ended(index, f"t{index}", has_failed=False, error_count=1)
        return after and after.with_end(NOW)

    return change, record


async def sixteen_running(storage: MemoryStorage) -> Ingestion:
    """An ingestion of sixteen batches, all of which run."""
    one = Ingestion(
        ingestion_id=uuid4(),
        priority=Priority.HIGH,
        created_at=NOW,
        queued_at=NOW,
        id_count=48,
        batch_size=3,
        digest="",
    )
    for index in range(16):
        one = one.batch_started(index, token=f"t{index}", age=0.0, lease=25.0, at=NOW)
    await Ingestions(storage.ingestions).insert(one, range(1, 49))
    return one


@pytest.mark.parametrize("processes", [1, 16])
@pytest.mark.parametrize("lost", ["no answer", "every third answer"])
async def test_sixteen_batches_of_one_ingestion_end_in_the_same_millisecond(processes: int, lost: str) -> None:
    """In one process or in as many: every end is recorded once, and each write has one winner."""
    account = Account(now=lambda: NOW)
    one = await sixteen_running(MemoryStorage(account))
    calls: list[str] = []

    async def give_way(call: str) -> None:
        calls.append(call)
        await asyncio.sleep(0)

    async def lose_answers(call: str) -> None:
        await asyncio.sleep(0)
        if lost == "every third answer" and call == "table.put_and_merge" and len(calls) % 3 == 0:
            raise StorageUnavailable("the answer was lost")

    storage = MemoryStorage(account, before=give_way, after=lose_answers)
    stores = [Ingestions(storage.ingestions) for _ in range(processes)]
    ends = [stores[index % processes].end_batch(one.ingestion_id, *batch_end(index)) for index in range(16)]
    written = await asyncio.gather(*ends)
    assert all(written)
    assert sum(version.value.has_ended for version in written if version) >= 1
    row = (await Ingestions(storage.ingestions).read(one.ingestion_id)).value
    assert (row.status, row.error_count, row.in_flight) == (Status.COMPLETED, 16, ())
    records = await stores[0].records(one.ingestion_id, 0, 100)
    assert [record.token for record in records] == [f"t{index}" for index in range(16)]
    if processes == 1 and lost == "no answer":
        assert calls.count("table.put_and_merge") == 16


async def test_the_lost_answer_of_an_end_is_recognised_after_others_have_changed_the_row() -> None:
    """The batch row carries the token of its start."""
    account = Account(now=lambda: NOW)
    other = Ingestions(MemoryStorage(account).ingestions)
    one = await sixteen_running(MemoryStorage(account))

    async def lose_and_change(call: str) -> None:
        if call == "table.put_and_merge":
            await other.change(one.ingestion_id, lambda row: row.cancelled(reason="x", at=NOW))
            raise StorageUnavailable("the answer was lost")

    store = Ingestions(MemoryStorage(account, after=lose_and_change).ingestions)
    written = await store.end_batch(one.ingestion_id, *batch_end(3))
    assert written is not None
    assert written.value.error_count == 1
    assert written.value.cancel_requested_at == NOW


async def test_an_end_of_another_start_is_refused() -> None:
    """The batch was started again meanwhile, and that start's end counts."""
    account = Account(now=lambda: NOW)
    store = Ingestions(MemoryStorage(account).ingestions)
    one = await sixteen_running(MemoryStorage(account))
    await store.change(one.ingestion_id, lambda row: row.batch_started(3, token="new", age=99.0, lease=25.0, at=NOW))
    assert await store.end_batch(one.ingestion_id, *batch_end(3)) is None
    assert await store.records(one.ingestion_id, 0, 100) == []


async def test_the_end_of_another_start_is_not_taken_for_ones_own() -> None:
    """Another process has started the batch again and ended it, just before this one writes."""
    account = Account(now=lambda: NOW)
    other = Ingestions(MemoryStorage(account).ingestions)
    one = await sixteen_running(MemoryStorage(account))

    async def end_it_first(call: str) -> None:
        if call == "table.put_and_merge":
            await other.change(
                one.ingestion_id, lambda row: row.batch_started(3, token="new", age=99.0, lease=25.0, at=NOW)
            )
            record = replace(batch_end(3)[1], token="new")
            await other.end_batch(
                one.ingestion_id, lambda row: row.batch_ended(3, "new", has_failed=False, error_count=2), record
            )

    store = Ingestions(MemoryStorage(account, before=end_it_first).ingestions)
    assert await store.end_batch(one.ingestion_id, *batch_end(3)) is None
    row = (await Ingestions(MemoryStorage(account).ingestions).read(one.ingestion_id)).value
    assert row.error_count == 2


async def test_an_end_a_cancel_a_move_and_a_retry_that_meet_lose_nothing() -> None:
    """All of them are changes of the present row."""
    account = Account(now=lambda: NOW)
    one = await sixteen_running(MemoryStorage(account))

    async def give_way(_: str) -> None:
        await asyncio.sleep(0)

    stores = [Ingestions(MemoryStorage(account, before=give_way, after=give_way).ingestions) for _ in range(4)]
    await asyncio.gather(
        stores[0].end_batch(one.ingestion_id, *batch_end(0)),
        stores[1].change(
            one.ingestion_id, lambda row: row.moved(Priority.LOW, at=NOW) if row.generation == 0 else None
        ),
        stores[2].change(one.ingestion_id, lambda row: row.queued(row.generation, at=NOW)),
        stores[3].change(one.ingestion_id, lambda row: row.throttled(5, "t5", error="429")),
    )
    row = (await Ingestions(MemoryStorage(account).ingestions).read(one.ingestion_id)).value
    assert (row.completed_count, row.priority, row.generation) == (1, Priority.LOW, 1)
    assert [flight.running for flight in row.in_flight] == [index != 5 for index in range(1, 16)]
