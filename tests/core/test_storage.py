"""The contract of the storage ports, over memory and over a real Azurite."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from functools import partial
from uuid import uuid4

import pytest
from azure.storage.queue.aio import QueueServiceClient

from devtools.azurite import Azurite, azurite
from devtools.ports import free_ports
from ingest_core.errors import AlreadyExists, Changed, NotFound, StorageUnavailable
from ingest_core.models import BatchRecord, Ingestion, Item, Priority, Status
from ingest_core.ports import CALL_SECONDS, RESULT_BYTES, Queue, Storage, Table
from ingest_core.storage.azure import QUEUE_API_VERSION, AzureStorage
from ingest_core.storage.azure_queue import AzureQueue
from ingest_core.storage.connection_string import DEVELOPMENT_STORAGE
from ingest_core.storage.ingestions import Ingestions
from ingest_core.storage.memory import Account, MemoryQueue, MemoryStorage
from tests.support.emptied import empty
from tests.support.faults import Faults

Lane = AzureQueue | MemoryQueue


@pytest.fixture(params=["memory", "azurite"])
async def storage(request: pytest.FixtureRequest) -> AsyncIterator[AzureStorage | MemoryStorage]:
    """A storage account; Azurite's is shared with other tests."""
    if request.param == "memory":
        yield MemoryStorage(Account(now=lambda: datetime.now(UTC)))
        return
    emulator: Azurite = request.getfixturevalue("storage_emulator")
    one = AzureStorage(emulator.connection_string)
    yield one
    await one.close()


@pytest.fixture(params=["memory", "azurite"])
async def named(request: pytest.FixtureRequest) -> AsyncIterator[AzureStorage | MemoryStorage]:
    """A storage account with a queue of its own for ended events."""
    name = f"ended-{uuid4()}"
    if request.param == "memory":
        yield MemoryStorage(Account(now=lambda: datetime.now(UTC)), ended_queue=name)
        return
    emulator: Azurite = request.getfixturevalue("storage_emulator")
    one = AzureStorage(emulator.connection_string, ended_queue=name)
    yield one
    await one.close()


@pytest.fixture
def table(storage: Storage) -> Table:
    """A table."""
    return storage.ingestions


@pytest.fixture
async def queue(storage: AzureStorage | MemoryStorage) -> Lane:
    """An empty queue."""
    one = storage.lanes[Priority.LOW]
    while received := await one.receive():
        await one.delete(received)
    return one


def row(**properties: object) -> dict:
    """An entity in a partition of its own."""
    partition = str(uuid4())
    return {"PartitionKey": partition, "RowKey": "a", **properties}


async def test_an_entity_comes_back_as_it_was_inserted(table: Table) -> None:
    """Every type that the service uses."""
    given = row(text="é\n", none="", number=3, seconds=5.0, half=0.5, yes=True, data=bytes(range(256)), empty=b"")
    etag = await table.insert(given)
    found = await table.get(given["PartitionKey"], "a")
    assert {name: found.entity[name] for name in given} == given
    assert found.etag == etag
    assert abs((found.written_at - datetime.now(UTC)).total_seconds()) < 60


@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")  # the SDK hands over one piece
async def test_sixty_four_kilobytes_fit_into_a_property_and_many_into_a_row(table: Table) -> None:
    """200 000 IDs are the most that the settings allow."""
    given = row(**{f"ids_{index:02d}": bytes([index]) * 65_536 for index in range(13)})
    await table.insert(given)
    found = await table.get(given["PartitionKey"], "a", select=["ids_07"])
    assert found.entity["ids_07"] == bytes([7]) * 65_536
    assert "ids_06" not in found.entity


@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")  # as above
async def test_a_batch_row_holds_the_largest_results_as_they_came(storage: Storage) -> None:
    """Of one ID or of three, full of what JSON would escape; the errors of others are kept beside them."""
    ingestions = Ingestions(storage.ingestions)
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    ingestion = Ingestion(
        ingestion_id=uuid4(), priority=Priority.LOW, created_at=moment, queued_at=moment, id_count=6, batch_size=3,
        digest="",
    )  # fmt: skip
    await ingestions.insert(ingestion, range(1, 7))
    whole, third = (json.dumps('"' * (size // 2 - 1)) for size in (RESULT_BYTES, RESULT_BYTES // 3))
    rejected = Item(item_id=9, error='no "such"\nitem !')
    cases = ([Item(item_id=7, data=whole), rejected], [Item(item_id=n, data=third) for n in range(3)])
    for index, items in enumerate(cases):
        await ingestions.change(ingestion.ingestion_id, partial(started, index, moment))
        record = BatchRecord(
            index=index, status=Status.COMPLETED, attempts=1, triggered_at=moment, completed_at=moment, token="t",
            items=items,
        )  # fmt: skip
        await ingestions.end_batch(ingestion.ingestion_id, partial(ended, index), record)
        (found,) = await ingestions.results(ingestion.ingestion_id, index, 1, enough_bytes=1)
        assert found.items == items


def started(index: int, moment: datetime, ingestion: Ingestion) -> Ingestion:
    """The ingestion with a batch running."""
    return ingestion.batch_started(index, token="t", age=1.0, lease=25.0, at=moment)


def ended(index: int, ingestion: Ingestion) -> Ingestion | None:
    """The ingestion with that batch ended."""
    return ingestion.batch_ended(index, "t", has_failed=False, error_count=0)


async def test_a_second_insert_is_refused(table: Table) -> None:
    """The first one stands."""
    given = row(n=1)
    await table.insert(given)
    with pytest.raises(AlreadyExists):
        await table.insert({**given, "n": 2})
    assert (await table.get(given["PartitionKey"], "a")).entity["n"] == 1


async def test_a_missing_row_is_not_found(table: Table) -> None:
    """For a read, a merge and a transaction."""
    given = row(n=1)
    with pytest.raises(NotFound):
        await table.get(given["PartitionKey"], "a")
    with pytest.raises(NotFound):
        await table.merge(given, etag='W/"x"')
    with pytest.raises(NotFound):
        await table.merge(given, etag=None)
    with pytest.raises(NotFound):
        await table.replace(given, etag='W/"x"')
    with pytest.raises(NotFound):
        await table.put_and_merge({**given, "RowKey": "b"}, given, etag='W/"x"')
    with pytest.raises(NotFound):
        await table.delete(given["PartitionKey"], "a")
    with pytest.raises(NotFound):
        await table.delete(given["PartitionKey"], "a", etag='W/"x"')


async def test_a_merge_changes_what_it_names_if_the_version_still_stands(table: Table) -> None:
    """And refuses a second writer."""
    given = row(n=1, other="kept")
    first = await table.insert(given)
    second = await table.merge({**row(), "PartitionKey": given["PartitionKey"], "n": 2}, etag=first)
    with pytest.raises(Changed):
        await table.merge({**given, "n": 3}, etag=first)
    found = await table.get(given["PartitionKey"], "a")
    assert (found.entity["n"], found.entity["other"], found.etag) == (2, "kept", second)


async def test_a_merge_without_an_etag_changes_any_version(table: Table) -> None:
    """Where only the latest value matters, nobody has to read first."""
    given = row(n=1, other="kept")
    await table.insert(given)
    etag = await table.merge({**given, "n": 2}, etag=None)
    found = await table.get(given["PartitionKey"], "a")
    assert (found.entity["n"], found.entity["other"], found.etag) == (2, "kept", etag)


async def test_a_replacement_leaves_nothing_of_the_old_row(table: Table) -> None:
    """It inserts where there is no row, and with an ETag it replaces that version only."""
    given = row(n=1, stale="old")
    first = await table.replace(given)
    second = await table.replace({**row(), "PartitionKey": given["PartitionKey"], "n": 2})
    with pytest.raises(Changed):
        await table.replace({**given, "n": 3}, etag=first)
    found = await table.get(given["PartitionKey"], "a")
    assert (found.entity["n"], found.entity.get("stale"), found.etag) == (2, None, second)
    third = await table.replace({**given, "n": 4}, etag=second)
    found = await table.get(given["PartitionKey"], "a")
    assert (found.entity["n"], found.etag) == (4, third)


async def test_a_deletion_names_the_version_or_takes_any(table: Table) -> None:
    """A row that somebody else has written since it was read stays."""
    given = row(n=1)
    first = await table.insert(given)
    second = await table.merge(given, etag=first)
    with pytest.raises(Changed):
        await table.delete(given["PartitionKey"], "a", etag=first)
    await table.delete(given["PartitionKey"], "a", etag=second)
    with pytest.raises(NotFound):
        await table.get(given["PartitionKey"], "a")
    await table.insert(given)
    await table.delete(given["PartitionKey"], "a")
    with pytest.raises(NotFound):
        await table.get(given["PartitionKey"], "a")


async def rows_of(table: Table, partition: str) -> list[str]:
    """The row keys in a partition."""
    return [str(stored.entity["RowKey"]) async for stored in table.query({"PartitionKey": partition})]


async def test_a_hundred_rows_are_deleted_at_once(table: Table) -> None:
    """Rows that are not named stay, also those of another partition."""
    partition = str(uuid4())
    for index in range(101):
        await table.insert({"PartitionKey": partition, "RowKey": f"{index:03d}"})
    await table.insert({"PartitionKey": f"{partition}-other", "RowKey": "000"})
    await table.delete_many(partition, [f"{index:03d}" for index in range(100)])
    assert await rows_of(table, partition) == ["100"]
    assert await rows_of(table, f"{partition}-other") == ["000"]


@pytest.mark.parametrize("row_keys", [["gone"], ["a", "gone", "b"], ["a", "a", "b"], []])
async def test_rows_that_do_not_exist_do_not_keep_others_from_being_deleted(table: Table, row_keys: list[str]) -> None:
    """Whoever deletes again what a crash left half deleted must come to an end."""
    partition = str(uuid4())
    for row_key in ("a", "b", "c"):
        await table.insert({"PartitionKey": partition, "RowKey": row_key})
    await table.delete_many(partition, row_keys)
    assert await rows_of(table, partition) == sorted({"a", "b", "c"} - set(row_keys))


async def test_a_transaction_does_both_or_neither(table: Table) -> None:
    """The batch row and the cursor belong together."""
    given = row(n=1)
    batch = {"PartitionKey": given["PartitionKey"], "RowKey": "b", "m": 1}
    first = await table.insert(given)
    with pytest.raises(Changed):
        await table.put_and_merge(batch, {**given, "n": 2}, etag="W/\"datetime'2000-01-01T00%3A00%3A00.0000000Z'\"")
    with pytest.raises(NotFound):
        await table.get(given["PartitionKey"], "b")
    second = await table.put_and_merge(batch, {**given, "n": 2}, etag=first)
    assert (await table.get(given["PartitionKey"], "b")).entity["m"] == 1
    found = await table.get(given["PartitionKey"], "a")
    assert (found.entity["n"], found.etag) == (2, second)


async def test_a_transaction_replaces_a_row_that_is_there(table: Table) -> None:
    """A storage that lost half of one must not stop the service."""
    given = row(n=1)
    batch = {"PartitionKey": given["PartitionKey"], "RowKey": "b"}
    await table.insert({**batch, "stale": 1})
    await table.put_and_merge({**batch, "m": 1}, given, etag=await table.insert(given))
    assert "stale" not in (await table.get(given["PartitionKey"], "b")).entity


async def test_a_query_gives_a_range_of_rows_in_order(table: Table) -> None:
    """Over several pages, and nobody else's rows."""
    partition = str(uuid4())
    for index in range(7):
        await table.insert({"PartitionKey": partition, "RowKey": f"batch-{index:08d}", "n": index, "x": index})
    await table.insert({"PartitionKey": partition, "RowKey": partition, "n": 99})
    found = table.query(
        {"PartitionKey": partition}, row_keys=("batch-00000001", "batch-00000006"), select=["n"], page_size=2
    )
    assert [stored.entity["n"] async for stored in found] == [1, 2, 3, 4, 5]


async def test_a_query_gives_a_range_of_partitions_in_order(table: Table) -> None:
    """By partition first, then by row, whatever the order of their making, and page by page."""
    beginning = str(uuid4())
    keys = [(f"{beginning}-{partition}", row_key) for partition in "abcd" for row_key in ("1", "2")]
    for partition_key, row_key in reversed(keys):
        await table.insert({"PartitionKey": partition_key, "RowKey": row_key})
    found = table.query({}, partition_keys=(f"{beginning}-b", f"{beginning}-d"), select=["RowKey"], page_size=3)
    wanted = keys[2:6]
    assert [stored.entity["RowKey"] async for stored in found] == [row_key for _, row_key in wanted]
    found = table.query({"RowKey": "2"}, partition_keys=(f"{beginning}-b", f"{beginning}-d"))
    assert [stored.entity["PartitionKey"] async for stored in found] == [f"{beginning}-b", f"{beginning}-c"]


@pytest.mark.parametrize("where", ["memory", "azurite"])
async def test_a_query_that_stops_early_pays_for_what_it_read(where: str, request: pytest.FixtureRequest) -> None:
    """A page is one call; nobody reads a page in advance."""
    faults = Faults()
    one: Storage
    if where == "memory":
        one = MemoryStorage(Account(now=lambda: datetime.now(UTC)), before=faults.before, after=faults.after)
    else:
        emulator: Azurite = request.getfixturevalue("storage_emulator")
        one = AzureStorage(emulator.connection_string, transport=faults.transport)
    partition = str(uuid4())
    for index in range(7):
        await one.history.insert({"PartitionKey": partition, "RowKey": str(index)})
    faults.calls.clear()
    for calls, rows in ((1, 2), (2, 3)):
        found = one.history.query({"PartitionKey": partition}, page_size=2)
        assert [(await anext(found)).entity["RowKey"] for _ in range(rows)] == [str(index) for index in range(rows)]
        assert len(faults.calls) == calls
        faults.calls.clear()
    await one.close()


async def test_a_query_by_value_finds_equal_rows_only(table: Table) -> None:
    """Texts with quotes included."""
    given = row(unfinished=True, name="o'clock")
    await table.insert(given)
    await table.insert(row(unfinished=False, name="o'clock"))
    found = [stored async for stored in table.query({"unfinished": True, "name": "o'clock"})]
    assert given["PartitionKey"] in {stored.entity["PartitionKey"] for stored in found}
    assert all(stored.entity["unfinished"] for stored in found)


async def test_a_queue_keeps_the_order_of_its_messages(queue: Queue) -> None:
    """A peek shows the first 32, and changes nothing."""
    texts = [f'{{"n": {index}, "text": "<é&>"}}' for index in range(40)]
    for text in texts:
        await queue.put(text)
    assert [message.text for message in await queue.peek()] == texts[:32]
    assert [message.text for message in await queue.peek()] == texts[:32]


async def test_inserted_on_has_whole_seconds(queue: Queue) -> None:
    """Ties are broken by position, not by a fraction that Azure does not give."""
    await queue.put("one")
    (message,) = await queue.peek()
    assert message.inserted_on.microsecond == 0
    assert abs((message.inserted_on - datetime.now(UTC)).total_seconds()) < 60


async def test_a_received_message_is_hidden_until_it_is_deleted_or_released(queue: Queue) -> None:
    """A released one goes to the back, with the age that it had."""
    for text in ("one", "two", "three"):
        await queue.put(text)
    first = await queue.receive()
    assert first
    assert [message.text for message in await queue.peek()] == ["two", "three"]
    await queue.release(first)
    front = await queue.peek()
    assert [message.text for message in front] == ["two", "three", "one"]
    assert (front[-1].message_id, front[-1].inserted_on) == (first.message_id, first.inserted_on)
    second = await queue.receive()
    assert second
    assert second.text == "two"
    await queue.delete(second)
    assert [message.text for message in await queue.peek()] == ["three", "one"]


async def test_a_pop_receipt_is_good_for_its_own_receipt_only(queue: Queue) -> None:
    """Whoever received the message later owns it."""
    await queue.put("one")
    first = await queue.receive()
    assert first
    await queue.release(first)
    second = await queue.receive()
    assert second
    with pytest.raises(NotFound):
        await queue.delete(first)
    await queue.delete(second)
    with pytest.raises(NotFound):
        await queue.release(second)


async def test_an_empty_queue_gives_nothing(queue: Queue) -> None:
    """Neither to a peek nor to a receiver."""
    assert await queue.peek() == []
    assert await queue.receive() is None


async def test_poison_goes_to_a_queue_of_its_own(queue: Lane) -> None:
    """The lane itself stays as it is."""
    before = await queue.poison_count()
    await queue.put_poison("bad")
    assert await queue.peek() == []
    assert await queue.poison_count() == before + 1
    assert "bad" in await queue.poison_texts()


async def test_hidden_messages_are_counted(queue: Lane) -> None:
    """A test asks whether work is left, whoever holds it just now."""
    await queue.put("one")
    await queue.put("two")
    await queue.receive()
    assert await queue.count() == 2


async def test_the_end_of_an_ingestion_goes_to_a_queue_for_triggers(named: AzureStorage | MemoryStorage) -> None:
    """The text comes back as it was put; the queue is made when first used."""
    text = '{"label": "é ☃"}'
    await named.put_event(text)
    assert await named.events() == [text]


async def test_nothing_else_needs_the_queue_of_ended_events(storage_emulator: Azurite) -> None:
    """It may be missing, be deleted just now, or not be allowed to be made: then only its own calls fail."""
    storage = AzureStorage(storage_emulator.connection_string, ended_queue="no-queue-may-have-this-name-")
    with pytest.raises(StorageUnavailable, match="cannot create the queue no-queue-may-have-this-name-: "):
        await storage.put_event("text")
    await storage.lanes[Priority.HIGH].put("text")
    await storage.close()


async def test_no_end_is_told_where_no_queue_was_named(storage: AzureStorage | MemoryStorage) -> None:
    """It is off unless somebody asks for it."""
    await storage.put_event("nobody reads this")
    assert await storage.events() == []


async def test_every_table_is_one_of_its_own(storage: Storage) -> None:
    """The same key may be in all of them."""
    given = row()
    for table in (storage.ingestions, storage.dispatch, storage.backlog, storage.history):
        await table.insert(given)


async def test_messages_never_expire(storage_emulator: Azurite) -> None:
    """Storage's own default of seven days would lose work that waits longer, and reports that nobody has read yet."""
    one = AzureStorage(storage_emulator.connection_string)
    lane = one.lanes[Priority.MEDIUM]
    await lane.put("work")
    await lane.put_poison("report")
    text = storage_emulator.connection_string
    async with QueueServiceClient.from_connection_string(text, api_version=QUEUE_API_VERSION) as account:
        for name in ("ingest-medium", "ingest-medium-poison"):
            [message] = await account.get_queue_client(name).peek_messages()
            assert message.expires_on.year == 9999
    await one.close()


async def test_storage_that_is_down_is_reported_in_one_line_and_soon() -> None:
    """A refused connection is no reason to wait."""
    (port,) = free_ports(1)
    down = AzureStorage(DEVELOPMENT_STORAGE.replace("10002", str(port)).replace("10001", str(port)))
    async with asyncio.timeout(CALL_SECONDS):
        with pytest.raises(StorageUnavailable) as caught:
            await down.ingestions.get("a", "a")
    await down.close()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("answer", [b"404 Not Found", b"200 OK"])
async def test_a_gateways_page_says_nothing_of_a_row(answer: bytes) -> None:
    """What has no row is thrown out of its lane: only storage itself may say so."""

    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 %s\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>" % answer)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(say, "127.0.0.1", 0) as gateway:
        port = gateway.sockets[0].getsockname()[1]
        one = AzureStorage(DEVELOPMENT_STORAGE.replace("10001", str(port)).replace("10002", str(port)), create=False)
        with pytest.raises(StorageUnavailable):
            await one.ingestions.get("a", "a")
        with pytest.raises(StorageUnavailable):
            await one.lanes[Priority.HIGH].peek()
        await one.close()


async def test_a_query_may_take_as_long_as_the_service_looks() -> None:
    """Five seconds a page, where few of many rows match: recovery reads the whole table."""

    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(5)
        writer.write(b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 12\r\n\r\n{"value":[]}')
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(say, "127.0.0.1", 0) as slow:
        port = slow.sockets[0].getsockname()[1]
        one = AzureStorage(DEVELOPMENT_STORAGE.replace("10002", str(port)), create=False)
        assert [found async for found in one.ingestions.query({"unfinished": True})] == []
        await one.close()


async def test_tables_that_vanish_are_made_again(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Storage whose data was deleted while the service runs needs no restart of the service."""
    with azurite(tmp_path_factory.mktemp("own")) as emulator:
        one = AzureStorage(emulator.connection_string)
        await one.ingestions.insert(row())
        empty(emulator.connection_string)
        with pytest.raises(StorageUnavailable):
            await one.ingestions.insert(row())
        await one.ingestions.insert(row())
        await one.lanes[Priority.HIGH].put("x")
        await one.close()
