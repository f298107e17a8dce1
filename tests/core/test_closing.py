"""Tests of closing: event, history row, end of the backlog row, each only after the one before."""

import json
import logging
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import azure.functions as func
import pytest
from azure.core.messaging import CloudEvent
from azure.functions.meta import Datum
from azure.functions.queue import QueueMessageInConverter
from azure.storage.queue import BinaryBase64DecodePolicy, QueueClient

from devtools.azurite import ROOT, Azurite
from ingest_core.errors import StorageUnavailable
from ingest_core.models import Ingestion, Priority
from ingest_core.storage.azure import QUEUE_API_VERSION, AzureStorage
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


async def test_a_queue_trigger_decodes_an_event_and_calls_the_readmes_function(
    storage_emulator: Azurite, caplog: pytest.LogCaptureFixture
) -> None:
    """The extension expects Base64 and the worker gets a text; the envelope is read by Microsoft's own classes."""
    name, one = f"ended-{uuid4()}", ended(label="Größe ☃")
    storage = AzureStorage(storage_emulator.connection_string, ended_queue=name)
    await Closing(
        backlog=Backlog(storage.backlog), history=History(storage.history), send_event=storage.put_event
    ).close(one)
    await storage.close()
    decode = BinaryBase64DecodePolicy()  # what the extension does unless `messageEncoding` says otherwise
    with QueueClient.from_connection_string(
        storage_emulator.connection_string, name, api_version=QUEUE_API_VERSION, message_decode_policy=decode
    ) as queue:
        (received,) = queue.receive_messages()
    text = received.content.decode()
    event = CloudEvent.from_dict(json.loads(text))  # refuses what is no event of version 1.0
    assert not event.extensions
    assert (event.specversion, event.type, event.datacontenttype) == ("1.0", "ingestion.completed", "application/json")
    assert event.time == one.ended_at
    assert event.data == {
        "ingestion_id": str(one.ingestion_id), "label": "Größe ☃", "status": "completed", "batches": 2,
        "completed": 2, "failed": 0, "cancelled": 0, "errors": 0,
    }  # fmt: skip
    message = QueueMessageInConverter.decode(Datum(text, "string"), trigger_metadata={})
    with caplog.at_level(logging.INFO):
        readmes_function()(message)
    assert caplog.messages[-1] == f"ingestion.completed: {one.ingestion_id}"


def readmes_function() -> Callable[[func.QueueMessage], None]:
    """The queue-triggered function that the README shows, as the host finds it."""
    (code,) = re.findall(r"```python\n(@app\.queue_trigger.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert len(code.splitlines()) == 4
    app = func.FunctionApp()
    exec(code, {"app": app, "func": func, "logging": logging})  # noqa: S102 # what readers are told to copy
    (function,) = app.get_functions()
    assert function.get_trigger().type == "queueTrigger"
    return function.get_user_function()
