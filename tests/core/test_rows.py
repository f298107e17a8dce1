"""Tests of what is stored: it comes back as it was, and a garbled row is one kind of error and nothing else."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

from ingest_core.errors import UnreadableRow
from ingest_core.models import BatchRecord, Flight, Ingestion, IngestRequest, Item, Priority, Status
from ingest_core.ports import Entity, Message
from ingest_core.storage import rows
from ingest_core.storage.backlog import Backlog, OpenIngestion, row_key
from ingest_core.storage.gate_row import PARTITION_KEY, ROW_KEY, GateRow, GateTable, Pause, StoredGate
from ingest_core.storage.history import ClosedIngestion, History
from ingest_core.storage.ingestions import Ingestions
from ingest_core.storage.lanes import Ticket, ticket_of
from ingest_core.storage.memory import Account, MemoryStorage
from ingest_core.storage.row_models import NEEDED
from tests.support.first_format import FIRST_FORMAT, first_format_rows, restore_first_format

NOW = datetime(2026, 11, 27, 12, 0, 0, 123456, tzinfo=UTC)
VALUES = (
    "", "x", "[]", "{}", "null", "[1]", '["a"]', "[" * 5000, '{"a":' * 5000, "NaN", "1e999", "-1",
    "é\U0001f600\0", "\ud800",
    "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59", "2026-01-01T00:00:00", "2026-13-01T00:00:00+00:00",
    "1900-01-01T00:00:00+00:00", str(uuid4()), "batch-0000000x", "batch-1", "9" * 5000,
    0, 1, -1, 2, 3, 7, 31, 99, 2**31, 2**40, -(2**63), 0.0, 0.5, -1.5, float("inf"), float("nan"), 1e300,
    True, False, b"", b"\x00", b"\xff" * 9, b"\xff" * 70_000, (7, "Edm.Int64"),
)  # fmt: skip


NOT_CANCELLED = {"cancel_requested_at": None, "cancel_reason": "", "cancelled_batches": ()}


def a_flight(**fields: object) -> Flight:
    """A batch in flight that uses every field."""
    given: dict[str, Any] = {
        "index": 2, "token": "token-2", "running": True, "age": 12.5, "lease": 25.0, "started_at": NOW, "attempts": 3,
        "failures": 2, "unrecorded": 1, "not_before": 99.5, "error": "the API answered 500",
    }  # fmt: skip
    return Flight(**{**given, **fields})


def an_ingestion(**fields: object) -> Ingestion:
    """An ingestion that uses every field."""
    flights = (a_flight(), a_flight(index=5, token="token-5", running=False))
    given: dict[str, Any] = {
        "ingestion_id": UUID(int=7), "priority": Priority.MEDIUM, "created_at": NOW, "queued_at": NOW, "id_count": 40,
        "batch_size": 3, "digest": "abc", "label": "für heute", "generation": 3, "is_queued": False,
        "retry_of": UUID(int=8), "retries": 2, "started_batches": 8, "in_flight": flights, "failed": b"\x02",
        "cancelled_batches": (3, 6), "error_count": 4, "cancel_requested_at": NOW, "cancel_reason": "wrong list",
        "ended_at": None,
    }  # fmt: skip
    return Ingestion(**{**given, **fields})


def a_record(**fields: object) -> BatchRecord:
    """A record that uses every field."""
    items = [
        Item(item_id=1, data='{"a": "\\u00e9!"}'),
        Item(item_id=2, error='no "such"\nID'),
        Item(item_id=3, error="the API answered 500", is_final=False),
    ]
    given: dict[str, Any] = {
        "index": 1, "status": Status.FAILED, "attempts": 5, "triggered_at": NOW, "completed_at": NOW,
        "token": "token-1", "error": "the API answered 500", "items": items,
    }  # fmt: skip
    return BatchRecord(**{**given, **fields})


def garbled(entity: Entity) -> Iterator[tuple[str, Entity]]:
    """The entity with every property removed, retyped and garbled in turn; the keys stay, as storage has them."""
    for name in entity:
        if name in ("PartitionKey", "RowKey"):
            continue
        yield f"without {name}", {key: value for key, value in entity.items() if key != name}
        for value in VALUES:
            yield f"{name}={value!r:.60}", {**entity, name: value}  # type: ignore[dict-item]
    yield "nothing", {name: entity[name] for name in ("PartitionKey", "RowKey")}


def garbled_json(text: str) -> Iterator[str]:
    """The JSON text with every member removed and retyped in turn."""
    document = json.loads(text)
    members = document if isinstance(document, list) else [document]
    for member in members:
        for name, before in list(member.items()):
            del member[name]
            yield json.dumps(document)
            for value in (*VALUES, None, [], {}, [[]], {"a": 1}):
                if not isinstance(value, bytes | tuple):
                    member[name] = value
                    yield json.dumps(document)
            member[name] = before


def use(ingestion: Ingestion) -> None:
    """Ask for everything that an ingestion can be asked for: a value that was let through is a sound one."""
    statuses = [ingestion.batch_status(index) for index in range(ingestion.batch_count)]
    assert statuses.count(Status.COMPLETED) == ingestion.completed_count
    assert statuses.count(Status.FAILED) == ingestion.failed_count
    assert statuses.count(Status.CANCELLED) == ingestion.cancelled_count
    assert 0 <= ingestion.first_open_batch <= ingestion.batch_count
    assert ingestion.batches_to_start >= 0
    index = ingestion.batch_that_may_start(1e9)
    if index is not None:
        started = ingestion.batch_started(index, token="t", age=1.0, lease=1.0, at=NOW)
        assert rows.decode_ingestion(rows.encode_ingestion(started)) == started
    assert len(row_key(ingestion)) == 53
    assert NOW - ingestion.created_at is not None
    for flight in ingestion.in_flight:
        assert NOW - flight.started_at is not None
    whole = ingestion.with_end(NOW)  # the first format has no time of an end
    assert rows.decode_ingestion(rows.encode_ingestion(whole)) == whole


def sound_or_unreadable(decode: Callable[[], Any], what: str) -> object:
    """The value; None if the row is unreadable. Anything else fails the test, and says what did it."""
    try:
        return decode()
    except UnreadableRow as error:
        assert "\n" not in str(error)
        assert len(str(error)) < 500
        return None
    except Exception as error:
        error.add_note(what)
        raise


# What comes back ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {**NOT_CANCELLED, "in_flight": (), "failed": b""},
        {"retry_of": None, "label": "", "is_queued": True, "in_flight": (), "ended_at": NOW},
        {"started_batches": 0, "in_flight": (), "failed": b"", "cancelled_batches": (), "ended_at": NOW},
    ],
)
def test_an_ingestion_comes_back_as_it_was(fields: dict[str, Any]) -> None:
    """Every field, with and without a value."""
    ingestion = an_ingestion(**fields)
    assert rows.decode_ingestion(rows.encode_ingestion(ingestion)) == ingestion
    use(ingestion)


def test_a_merge_of_the_state_writes_whatever_can_change() -> None:
    """What a merge leaves out stays as it is: only what never changes may be left out."""
    whole, state = rows.encode_ingestion(an_ingestion()), rows.encode_state(an_ingestion())
    assert set(whole) - set(state) == {"created_at", "id_count", "batch_size", "digest", "retry_of", "label"}


def test_a_record_comes_back_as_it_was() -> None:
    """Data, final errors and errors that another attempt might have avoided."""
    assert rows.decode_record(rows.encode_record(UUID(int=7), a_record())) == a_record()


@pytest.mark.parametrize("count", [1, 3, 16_383, 16_384, 100_000])
def test_ids_come_back_as_they_were(count: int) -> None:
    """Whole, and the batches beside the border of two properties."""
    ids = [1_000_000_007 - number for number in range(count)]
    ingestion = an_ingestion(id_count=count, started_batches=0, in_flight=(), failed=b"", cancelled_batches=())
    entity = rows.encode_ids(ids, 3)
    assert rows.decode_ids(entity, ingestion) == ids
    for index in {0, 5460, 5461, ingestion.batch_count - 1} & set(range(ingestion.batch_count)):
        assert list(rows.decode_batch(entity, ingestion, index)) == ids[index * 3 : index * 3 + 3]


@pytest.mark.parametrize("lost", range(3))
def test_a_result_that_has_lost_a_piece_is_not_taken_for_a_shorter_one(lost: int) -> None:
    """It lies in pieces of 64 KiB."""
    items = [Item(item_id=number, data=json.dumps("x" * 60_000)) for number in range(3)]
    entity = dict(rows.encode_record(UUID(int=7), a_record(items=items)))
    del entity[f"result_0{lost}"]
    with pytest.raises(UnreadableRow, match="the result is incomplete"):
        rows.decode_record(entity)


@pytest.mark.parametrize(
    "line", [b"1 ", b"1 {", b"1 x", b"1 NaN", b"1 [1] [2]", b"one 1", b"1 !no text", b"1 !", b"1", b"\xff 1"]
)
def test_a_result_that_is_no_json_is_unreadable(line: bytes) -> None:
    """It becomes a part of an answer as it is."""
    entity = {**rows.encode_record(UUID(int=7), a_record(items=())), "result_bytes": len(line), "result_00": line}
    with pytest.raises(UnreadableRow, match="the result cannot be read"):
        rows.decode_record(entity)


def test_a_result_may_be_nested_as_deeply_as_a_source_lets_it_be() -> None:
    """The reader has fewer levels left than the source had."""
    items = [Item(item_id=1, data="[" * 10_000 + "]" * 10_000)]
    assert rows.decode_record(rows.encode_record(UUID(int=7), a_record(items=items))).items == items


def test_a_row_from_the_future_is_not_guessed_at() -> None:
    """Its properties may mean something else."""
    with pytest.raises(UnreadableRow, match="property format"):
        rows.decode_ingestion({**rows.encode_ingestion(an_ingestion()), "format": 3})


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"started_batches": 15}, "more batches were started than there are"),
        ({"started_batches": 5}, "one that was never started"),
        ({"cancelled_batches": (2,)}, "name a batch twice"),
        ({**NOT_CANCELLED, "cancelled_batches": (3,)}, "no cancel was asked for"),
        ({**NOT_CANCELLED, "cancel_reason": "wrong list"}, "no cancel was asked for"),
        ({"ended_at": NOW}, "it has a time of its end, but batches are left"),
        ({"in_flight": ()}, "no batch is left, but it has no time of its end"),
        ({"error_count": 41}, "more IDs ended with an error than there are"),
        ({"in_flight": (a_flight(age=1e10),)}, "a number or a time that cannot be"),
        ({"in_flight": (a_flight(lease=1e6),)}, "a number or a time that cannot be"),
        ({"in_flight": (a_flight(not_before=1e6),)}, "a number or a time that cannot be"),
        ({"in_flight": (a_flight(attempts=2**31),)}, "a number or a time that cannot be"),
        ({"failed": b"\x04"}, "failed names a batch that has not ended"),
        ({"failed": b"\x08"}, "or was cancelled"),
        ({"failed": b"\x00\x01"}, "failed names a batch that has not ended"),
    ],
)
def test_numbers_that_do_not_fit_together_are_unreadable(fields: dict[str, Any], problem: str) -> None:
    """Each property is possible by itself."""
    with pytest.raises(UnreadableRow, match=problem):
        rows.decode_ingestion(rows.encode_ingestion(an_ingestion(**fields)))


@pytest.mark.parametrize("number", range(3))
def test_a_row_without_a_property_that_its_format_has_is_not_guessed_at(number: int) -> None:
    """Without `in_flight`, a running batch would seem completed, and its IDs would never be fetched."""
    entity = stored_rows()["ingestion"][number]
    for name in NEEDED[1 if number else 2]:
        with pytest.raises(UnreadableRow, match=f"the property {name} is missing"):
            rows.decode_ingestion({key: value for key, value in entity.items() if key != name})


def test_a_row_that_claims_the_other_format_is_not_guessed_at() -> None:
    """It would seem never to have been started."""
    with pytest.raises(UnreadableRow, match="the property finished_batches is missing"):
        rows.decode_ingestion({**rows.encode_ingestion(an_ingestion()), "format": 1})


@pytest.mark.parametrize("count", [39, 41])
def test_no_batch_is_read_from_a_list_of_another_length(count: int) -> None:
    """Else its batches would run, and no status could show them."""
    entity = {**rows.encode_ingestion(an_ingestion()), **rows.encode_ids(range(1, 41), 3), "id_count": count}
    ingestion = rows.decode_ingestion(entity)
    for index in (0, 12):
        with pytest.raises(UnreadableRow, match=f"the IDs of batch {index} are missing"):
            rows.decode_batch(entity, ingestion, index)


# Garbled rows -------------------------------------------------------------------------------------------------------


def stored_rows() -> dict[str, list[Entity]]:
    """What one ingestion of each kind leaves in the table `ingestions`."""
    whole = {**rows.encode_ingestion(an_ingestion()), **rows.encode_ids(range(1, 41), 3)}
    first = first_format_rows("ingestions")
    return {
        "ingestion": [whole, *(entity for entity in first if entity["RowKey"] == entity["PartitionKey"])],
        "batch": [
            rows.encode_record(UUID(int=7), a_record()),
            *(entity for entity in first if entity["RowKey"] != entity["PartitionKey"]),
        ],
    }


@pytest.mark.parametrize("number", range(8))
def test_any_garbled_ingestion_row_is_sound_or_unreadable(number: int) -> None:
    """Of both formats, in every state."""
    entity = stored_rows()["ingestion"][number]
    sound = 0
    for what, broken in garbled(entity):
        ingestion = sound_or_unreadable(lambda broken=broken: rows.decode_ingestion(broken), what)
        if isinstance(ingestion, Ingestion):
            sound += 1
            if ingestion.batch_count < 100:
                use(ingestion)
            sound_or_unreadable(lambda broken=broken, whole=ingestion: rows.decode_ids(broken, whole), what)
            last = ingestion.batch_count - 1
            sound_or_unreadable(lambda b=broken, i=ingestion, n=last: rows.decode_batch(b, i, n), what)
    assert sound > 10


def test_any_garbled_batch_in_flight_is_sound_or_unreadable() -> None:
    """The list is JSON in a property of its own."""
    entity = rows.encode_ingestion(an_ingestion())
    for text in garbled_json(str(entity["in_flight"])):
        broken = {**entity, "in_flight": text}
        ingestion = sound_or_unreadable(lambda broken=broken: rows.decode_ingestion(broken), text[:300])
        if isinstance(ingestion, Ingestion):
            use(ingestion)


@pytest.mark.parametrize(
    "text", ["[1.5]", "[-1]", "[true]", '["1"]', "[[1]]", "{}", "[1,1]", "1", "[" * 100_000, "[99]"]
)
def test_garbled_cancelled_batches_are_unreadable(text: str) -> None:
    """JSON of the wrong shape, and JSON that is none."""
    with pytest.raises(UnreadableRow):
        rows.decode_ingestion({**rows.encode_ingestion(an_ingestion()), "cancelled_batches": text})


def test_any_garbled_batch_row_is_sound_or_unreadable() -> None:
    """Of both formats."""
    for entity in stored_rows()["batch"]:
        for what, broken in garbled(entity):
            record = sound_or_unreadable(lambda broken=broken: rows.decode_record(broken), what)
            if isinstance(record, BatchRecord):
                assert rows.decode_record(rows.encode_record(UUID(int=7), record)) == record
            assert rows.result_size(broken) >= 0


@pytest.mark.parametrize("key", ["batch-", "batch-0000000x", "batch-000000001", "batch-\u0660000000\u0661", "note"])
async def test_a_foreign_row_beside_batch_rows_is_named(key: str) -> None:
    """Somebody has put it there by hand."""
    storage = MemoryStorage(Account(now=lambda: NOW))
    entity = {**rows.encode_record(UUID(int=7), a_record()), "RowKey": key}
    with pytest.raises(UnreadableRow):
        rows.decode_record(entity)
    await storage.ingestions.insert(entity)
    store = Ingestions(storage.ingestions)
    for read in (store.records(UUID(int=7), 0, 1000), store.results(UUID(int=7), 0, 1000, enough_bytes=1)):
        try:
            assert await read == []
        except UnreadableRow as error:
            assert key in str(error)


async def test_a_row_without_its_ids_is_read_a_bounded_number_of_times() -> None:
    """It once made a tick read for ever."""
    calls: list[str] = []

    async def note(call: str) -> None:
        calls.append(call)

    storage = MemoryStorage(Account(now=lambda: NOW), before=note)
    for name in ("ids_00", "ids_01"):
        ingestion = replace(an_ingestion(**NOT_CANCELLED), ingestion_id=uuid4(), id_count=20_000)
        entity = {**rows.encode_ingestion(ingestion), **rows.encode_ids(range(1, 20_001), 3)}
        del entity[name]
        await storage.ingestions.insert(entity)
        calls.clear()
        index = 0 if name == "ids_00" else 6000
        with pytest.raises(UnreadableRow, match="the IDs of batch"):
            await Ingestions(storage.ingestions).read_next(ingestion.ingestion_id, lambda _, index=index: index)
        assert len(calls) <= 2


async def test_any_garbled_row_of_the_backlog_is_sound_or_named_by_its_key() -> None:
    """And it hides none of the others."""
    ingestion = an_ingestion(in_flight=(), cancelled_batches=())
    for what, broken in garbled(await entity_of("backlog", ingestion)):
        storage = MemoryStorage(Account(now=lambda: NOW))
        backlog = Backlog(storage.backlog)
        await storage.backlog.insert(broken)
        other = replace(ingestion, ingestion_id=UUID(int=9))
        await backlog.insert(other)
        found = [row async for row in backlog.rows()]
        assert len(found) == 2, what
        assert found[0] == row_key(ingestion) or isinstance(found[0], OpenIngestion), what
        assert isinstance(found[1], OpenIngestion), what
        assert len(await backlog.everything()) == sum(isinstance(row, OpenIngestion) for row in found), what


async def test_any_garbled_row_of_the_history_is_sound_or_named_by_its_key() -> None:
    """And it hides none of the others."""
    ingestion = an_ingestion(in_flight=(), cancelled_batches=())
    for what, broken in garbled(await entity_of("history", ingestion)):
        storage = MemoryStorage(Account(now=lambda: NOW))
        history = History(storage.history)
        await storage.history.insert(broken)
        await history.put(replace(ingestion, ingestion_id=UUID(int=9)))
        found = [row async for row in history.rows()]
        assert len(found) == 2, what
        assert found[0] == row_key(ingestion) or isinstance(found[0], ClosedIngestion), what
        assert isinstance(found[1], ClosedIngestion), what


@pytest.mark.parametrize("garbled", [{"status": "triggered"}, {"batch_count": 15}, {"completed_count": 0}])
async def test_a_row_of_the_history_that_contradicts_itself_is_unreadable(garbled: Entity) -> None:
    """It says how an ingestion has ended."""
    storage = MemoryStorage(Account(now=lambda: NOW))
    ingestion = an_ingestion(in_flight=(), cancelled_batches=())
    await storage.history.insert({**await entity_of("history", ingestion), **garbled})
    assert [row async for row in History(storage.history).rows()] == [row_key(ingestion)]


async def entity_of(table: str, ingestion: Ingestion) -> Entity:
    """The row that an ingestion has in the backlog, or in the history."""
    storage = MemoryStorage(Account(now=lambda: NOW))
    await Backlog(storage.backlog).insert(ingestion)
    await History(storage.history).put(ingestion)
    found: MemoryStorage | Any = getattr(storage, table)
    (stored,) = [stored async for stored in found.query({})]
    return stored.entity


async def test_any_garbled_gate_row_is_sound_or_made_anew_with_the_pauses_that_can_be_read() -> None:
    """A gate that cannot be read would stop everything for good."""
    gate = GateRow(slot=7, token="t", age=100.0, due=105.5, started_at="s", throttled_reason="r", trouble="none")
    storage = MemoryStorage(Account(now=lambda: NOW))
    table = GateTable(storage.dispatch)
    await table.set_pause("ALL", Pause(since=NOW, reason="night"), gate=gate)
    await table.set_pause("LOW", Pause(since=NOW, reason="r", until=NOW), gate=gate)
    entity = (await storage.dispatch.get(PARTITION_KEY, ROW_KEY)).entity
    for what, broken in garbled(entity):
        await storage.dispatch.replace(broken)
        if not isinstance(found := await read_gate(table, what), StoredGate):
            await table.make_anew(GateRow(slot=0, token="new", age=0.0, due=6.0))
            found = await read_gate(table, what)
            assert isinstance(found, StoredGate), what
        assert found.gate.age >= 0, what
        is_same = {name: broken.get(name) == entity[name] for name in ("paused_all", "paused_low")}
        assert ("ALL" in found.pauses) or not is_same["paused_all"], what
        assert ("LOW" in found.pauses) or not is_same["paused_low"], what
        assert isinstance(found.is_paused(Priority.LOW, NOW), bool), what


@pytest.mark.parametrize(
    "garbled", [{"due": 1e6}, {"age": 1e300, "due": 1e300}, {"age": 1e11, "due": 1e11}, {"slot": 2**31 - 1}]
)
async def test_a_gate_that_would_never_open_or_never_close_is_unreadable(garbled: dict[str, Any]) -> None:
    """At an age of 1e300 the seconds that pass change nothing, so that nobody would be kept out any more."""
    storage = MemoryStorage(Account(now=lambda: NOW))
    gate = GateRow(slot=7, token="t", age=100.0, due=105.5)
    await GateTable(storage.dispatch).create(replace(gate, **garbled))
    with pytest.raises(UnreadableRow):
        await GateTable(storage.dispatch).read()


async def read_gate(table: GateTable, what: str) -> StoredGate | None:
    """The gate; None if the row is unreadable."""
    try:
        return await table.read()
    except UnreadableRow:
        return None
    except Exception as error:
        error.add_note(what)
        raise


async def test_any_garbled_pause_counts_as_none_or_as_a_pause() -> None:
    """It is JSON in a property of its own."""
    gate = GateRow(slot=7, token="t", age=100.0, due=105.5)
    storage = MemoryStorage(Account(now=lambda: NOW))
    table = GateTable(storage.dispatch)
    await table.set_pause("ALL", Pause(since=NOW, reason="night", until=NOW), gate=gate)
    entity = (await storage.dispatch.get(PARTITION_KEY, ROW_KEY)).entity
    for text in (*garbled_json(str(entity["paused_all"])), "[]", "[[]]", '["ab"]', "7", '"x"', "[" * 100_000):
        await storage.dispatch.replace({**entity, "paused_all": text})
        found = await table.read()
        assert isinstance(found.is_paused(Priority.HIGH, NOW), bool)


def test_any_garbled_message_is_a_ticket_or_foreign() -> None:
    """Anybody who may write to the queue can put anything there."""
    text = json.dumps({"format": 2, "ingestion_id": str(UUID(int=7)), "generation": 3})
    texts = [
        *garbled_json(text),
        *(value for value in VALUES if isinstance(value, str)),
        "[1]",
        '[{"format": 2}]',
        "[" * 100_000,
    ]
    for one in texts:
        ticket = ticket_of(Message(message_id="m", text=one, inserted_on=NOW))
        assert ticket is None or isinstance(ticket, Ticket)
    whole = ticket_of(Message(message_id="m", text=text, inserted_on=NOW))
    assert whole == Ticket(ingestion_id=UUID(int=7), generation=3)


# Rows of the first format -------------------------------------------------------------------------------------------


@pytest.fixture
def first() -> MemoryStorage:
    """An account as the version before this format has left it: it was killed in the middle of a fetch."""
    account = Account(now=lambda: NOW)
    restore_first_format(account)
    return MemoryStorage(account)


@pytest.mark.parametrize("name", FIRST_FORMAT["ingestions"])
async def test_every_list_of_the_first_format_shows_the_same_status_and_ids(first: MemoryStorage, name: str) -> None:
    """Waiting, running, ended, failed, and a retry."""
    ingestion_id = UUID(FIRST_FORMAT["ingestions"][name])
    version, ids = await Ingestions(first.ingestions).read_whole(ingestion_id)
    ingestion = version.value
    statuses = [ingestion.status, *map(ingestion.batch_status, range(ingestion.batch_count))]
    assert [str(status) for status in statuses] == FIRST_FORMAT["statuses"][name]
    assert ids == FIRST_FORMAT["ids"][name]
    use(ingestion)


async def test_the_running_batch_of_the_first_format_keeps_its_counts(first: MemoryStorage) -> None:
    """Three starts, of which two have failed; it may start at once, as its host has been stopped."""
    ingestion = (await Ingestions(first.ingestions).read(UUID(FIRST_FORMAT["ingestions"]["running"]))).value
    (flight,) = ingestion.in_flight
    assert (flight.index, flight.attempts, flight.failures, flight.running) == (1, 3, 2, False)
    assert flight.error == "the API answered 503"
    assert ingestion.batch_that_may_start(0.0) == 1


async def test_what_the_first_format_has_delivered_is_still_there(first: MemoryStorage) -> None:
    """Errors of a failed batch are not final: a retry asks for these IDs again."""
    store = Ingestions(first.ingestions)
    completed = await store.results(UUID(FIRST_FORMAT["ingestions"]["completed"]), 0, 10, enough_bytes=10**6)
    assert [item.data for record in completed for item in record.items] == [f'{{"id": {n}}}' for n in (1, 2, 3, 4)]
    lost, mixed = await store.results(UUID(FIRST_FORMAT["ingestions"]["failed"]), 0, 10, enough_bytes=10**6)
    assert [(item.error, item.is_final) for item in lost.items if item.error] == [("the API answered 500", False)]
    assert [item.data for item in lost.items] == ["", '{"id": 6}', '{"id": 7}']
    assert [(item.error, item.is_final) for item in mixed.items] == [("the API answered 404", True), ("", True)]


async def test_a_key_of_the_first_format_is_recognised_by_its_values(first: MemoryStorage) -> None:
    """A repeat of a POST that the version before has accepted is no reuse of its key."""
    ingestion = (await Ingestions(first.ingestions).read(UUID(FIRST_FORMAT["ingestions"]["completed"]))).value
    assert IngestRequest(ids=[1, 2, 3, 4], priority=Priority.HIGH).digest == ingestion.digest


async def test_a_write_carries_a_row_of_the_first_format_over(first: MemoryStorage) -> None:
    """The properties of the old format stay in the row, and no longer count."""
    store = Ingestions(first.ingestions)
    ingestion_id = UUID(FIRST_FORMAT["ingestions"]["running"])

    def start(row: Ingestion) -> Ingestion:
        return row.batch_started(1, token="t", age=5.0, lease=25.0, at=NOW)

    written = await store.change(ingestion_id, start)
    assert written is not None
    read = (await Ingestions(first.ingestions).read(ingestion_id)).value
    assert read == written.value
    assert [flight.attempts for flight in read.in_flight] == [4]
    ended = await store.change(ingestion_id, lambda row: row.batch_ended(1, "t", has_failed=False, error_count=0))
    assert ended is not None
    read = (await Ingestions(first.ingestions).read(ingestion_id)).value
    assert (read.status, read.completed_count, read.in_flight) == (Status.TRIGGERED, 2, ())


async def test_open_lists_of_the_first_format_are_found_until_they_are_written(first: MemoryStorage) -> None:
    """Upkeep gives them a backlog row."""
    store = Ingestions(first.ingestions)
    names = {ingestion_id: name for name, ingestion_id in FIRST_FORMAT["ingestions"].items()}
    await first.ingestions.insert({"PartitionKey": "mine", "RowKey": "mine", "unfinished": True})
    found = [one async for one in store.open_in_first_format()]
    unreadable = [one for one in found if isinstance(one, UnreadableRow)]
    open_ = {names[str(one.ingestion_id)] for one in found if isinstance(one, Ingestion)}
    assert open_ == {"second lane", "third lane", "running", "waiting"}
    assert len(unreadable) == 1
    await store.change(
        UUID(FIRST_FORMAT["ingestions"]["waiting"]),
        lambda row: row.batch_started(0, token="t", age=5.0, lease=25.0, at=NOW),
    )
    found = [one async for one in store.open_in_first_format() if isinstance(one, Ingestion)]
    assert len(found) == 3


def test_messages_of_the_first_format_are_tickets_of_the_first_generation() -> None:
    """They stay where they are in their queues."""
    for queue in ("ingest-high", "ingest-medium", "ingest-low"):
        for text in FIRST_FORMAT["queues"][queue]:
            ticket = ticket_of(Message(message_id="m", text=text, inserted_on=NOW))
            assert ticket is not None
            assert str(ticket.ingestion_id) in FIRST_FORMAT["ingestions"].values()
            assert ticket.generation == 0
