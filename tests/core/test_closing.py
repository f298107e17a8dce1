"""Tests of closing: event, history row, end of the backlog row, each only after the one before."""

import json
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from ingest_core.errors import StorageUnavailable
from ingest_core.models import Ingestion, Priority
from ingest_core.storage.backlog import Backlog, row_key
from ingest_core.storage.closing import Closing, ended_event
from ingest_core.storage.history import History
from ingest_core.storage.memory import Account, MemoryStorage

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Killed(Exception):
    """The process is killed at this call."""


class World:
    """An account, and a process that is killed at its n-th storage call."""

    def __init__(self, account: Account, *, killed_at: int | None = None, ended_queue: str = "ended") -> None:
        self._left = killed_at
        self.calls: list[str] = []
        self.storage = MemoryStorage(account, before=self._before, ended_queue=ended_queue)
        self.backlog = Backlog(self.storage.backlog)
        self.history = History(self.storage.history)
        send = self.storage.put_event if ended_queue else None
        self.closing = Closing(backlog=self.backlog, history=self.history, send_event=send)

    async def _before(self, call: str) -> None:
        self.calls.append(call)
        if self._left is not None:
            if self._left == 0:
                raise Killed(call)
            self._left -= 1


@pytest.fixture
def account() -> Account:
    """A storage account."""
    return Account(now=lambda: NOW)


def ended(**fields: object) -> Ingestion:
    """An ingestion that has completed."""
    given: dict = {
        "ingestion_id": uuid4(), "priority": Priority.HIGH, "created_at": NOW, "queued_at": NOW, "id_count": 4,
        "batch_size": 3, "digest": "", "started_batches": 2, "ended_at": NOW + timedelta(seconds=10), **fields,
    }  # fmt: skip
    return Ingestion(**given)


async def test_without_a_queue_for_events_closing_takes_two_calls(account: Account) -> None:
    """The history row, and the end of the backlog row."""
    world = World(account, ended_queue="")
    await world.backlog.insert(ended())
    one = ended()
    await world.backlog.insert(one)
    world.calls.clear()
    await world.closing.close(one)
    assert world.calls == ["table.replace", "table.delete"]
    assert await world.history.contains(one)
    assert len(account.table("backlog")) == 1


async def test_closing_that_is_killed_anywhere_is_completed_by_a_repeat(account: Account) -> None:
    """An event may then come twice, with the same ID; it is never missing."""
    kills = 0
    for killed_at in range(10):
        one = ended()
        await World(account).backlog.insert(one)
        sent = len(await World(account).storage.events())
        try:
            await World(account, killed_at=killed_at).closing.close(one)
        except Killed:
            kills += 1
            assert ("open", row_key(one)) in account.table("backlog")
        world = World(account)
        await world.closing.close(one)
        assert await world.history.contains(one)
        assert not account.table("backlog")
        events = [json.loads(text)["id"] for text in (await world.storage.events())[sent:]]
        assert 1 <= len(events) <= 2
        assert len(set(events)) == 1
    assert kills == 4


async def test_an_event_that_fails_keeps_the_backlog_row(account: Account) -> None:
    """Upkeep tries again, and the ingestion stays visible as an open row until then."""

    async def fail(_: str) -> None:
        raise StorageUnavailable("the queue does not exist")

    world = World(account)
    one = ended()
    await world.backlog.insert(one)
    closing = Closing(backlog=world.backlog, history=world.history, send_event=fail)
    with pytest.raises(StorageUnavailable):
        await closing.close(one)
    assert len(account.table("backlog")) == 1
    assert not await world.history.contains(one)


async def test_a_closing_that_finds_the_history_row_sends_no_event(account: Account) -> None:
    """A backlog row that came late is closed again, silently."""
    world = World(account)
    one = ended()
    await world.closing.close(one)
    await world.backlog.insert(one)
    await world.closing.close(one)
    assert len(await world.storage.events()) == 1
    assert not account.table("backlog")


async def test_the_backlog_row_is_deleted_by_the_key_under_which_it_was_found(account: Account) -> None:
    """It may be the row of an earlier list with the same ID."""
    world = World(account)
    one, earlier = ended(), ended()
    await world.backlog.insert(earlier)
    await world.closing.close(one, backlog_key=row_key(earlier))
    assert not account.table("backlog")


@pytest.mark.parametrize(
    ("fields", "kind", "counts"),
    [
        ({}, "completed", (2, 0, 0)),
        ({"failed": b"\x01", "error_count": 3}, "failed", (1, 1, 0)),
        ({"started_batches": 1, "cancel_requested_at": NOW}, "cancelled", (1, 0, 1)),
    ],
)
def test_an_event_is_a_cloud_event_that_says_how_it_ended(
    fields: dict, kind: str, counts: tuple[int, int, int]
) -> None:
    """Version 1.0: id, source, specversion and type are required."""
    one = ended(**fields)
    event = json.loads(json.dumps(ended_event(one)))
    assert event["specversion"] == "1.0"
    assert event["source"] == f"/ingestions/{one.ingestion_id}"
    assert event["type"] == f"ingestion.{kind}"
    assert event["time"] == "2026-01-01T00:00:10+00:00"
    data = event["data"]
    assert (data["completed"], data["failed"], data["cancelled"]) == counts
    assert data["status"] == kind
    assert event["id"] == ended_event(one)["id"] != ended_event(ended())["id"]
