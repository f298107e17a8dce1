"""The layout of the table `ingestions`: how ingestions and batch records become entities, and back.

PartitionKey is the ingestion's ID. The ingestion row has it as RowKey too; batch rows have `batch-00000017`. Properties
never vanish in a merge, so "none" is an empty text. Every row of this table that is read is checked here: an entity
that cannot be decoded raises `UnreadableRow`.
"""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from struct import pack, unpack
from uuid import UUID

from ingest_core.batching import chunk_size
from ingest_core.errors import UnreadableRow
from ingest_core.models import BatchRecord, Flight, Ingestion, Item, Status, cut_error
from ingest_core.ports import Entity
from ingest_core.storage.row_models import (
    MAX_AGE_SECONDS,
    MAX_CLOSED_SECONDS,
    MAX_COUNT,
    BatchRow,
    FlightList,
    IngestionRow,
    checked,
    name_of,
)

FORMAT = 2
"""The format of every new row and message. Rows of format 1 are read; the next write changes them to this format."""

PROPERTY_BYTES = 65_536
"""The most that a binary property holds (https://learn.microsoft.com/rest/api/storageservices/understanding-the-table-service-data-model)."""

INGESTION = tuple(IngestionRow.model_fields)
RECORD = tuple(BatchRow.model_fields)
RESULT_SIZE = "result_bytes"
BATCH_ROW_KEY = re.compile("batch-[0-9]{8}")


def key(ingestion_id: UUID) -> Entity:
    """The keys of the ingestion row."""
    return {"PartitionKey": str(ingestion_id), "RowKey": str(ingestion_id)}


def batch_row_key(index: int) -> str:
    """The RowKey of a batch row; rows sort by index."""
    return f"batch-{index:08d}"


def batch_index(entity: Entity) -> int:
    """The index that the RowKey of a batch row names. Raises `UnreadableRow`."""
    row_key = str(entity["RowKey"])
    if not BATCH_ROW_KEY.fullmatch(row_key):
        raise UnreadableRow(f"{name_of(entity)}: this is not the key of a batch row")
    return int(row_key.removeprefix("batch-"))


def ids_property(index: int) -> str:
    """The name of the property that holds the index-th chunk of the IDs."""
    return f"ids_{index:02d}"


def encode_ids(ids: Sequence[int], batch_size: int) -> Entity:
    """The IDs as little-endian uint32 in as few properties as hold them."""
    size = chunk_size(batch_size)
    chunks = (ids[start : start + size] for start in range(0, len(ids), size))
    return {ids_property(index): pack(f"<{len(chunk)}I", *chunk) for index, chunk in enumerate(chunks)}


def decode_ids(entity: Entity, ingestion: Ingestion) -> list[int]:
    """All IDs, in the order of the request. Raises `UnreadableRow`."""
    data = b"".join(_numbered(entity, ids_property))
    if len(data) != ingestion.id_count * 4:
        raise UnreadableRow(f"ingestion {ingestion.ingestion_id}: the IDs are incomplete")
    return list(unpack(f"<{ingestion.id_count}I", data))


def decode_batch(entity: Entity, ingestion: Ingestion, index: int) -> tuple[int, ...]:
    """The IDs of one batch; the entity was read with `ids_property(chunk_of(…))`. Raises `UnreadableRow`."""
    size, chunk = chunk_size(ingestion.batch_size), chunk_of(ingestion, index)
    data = entity.get(ids_property(chunk))
    # The whole chunk is checked: with a wrong number of IDs, batches would run that no status can show.
    if not isinstance(data, bytes) or len(data) != min(size, ingestion.id_count - chunk * size) * 4:
        raise UnreadableRow(f"ingestion {ingestion.ingestion_id}: the IDs of batch {index} are missing")
    offset = index * ingestion.batch_size % size * 4
    piece = data[offset : offset + ingestion.batch_size * 4]
    return unpack(f"<{len(piece) // 4}I", piece)


def chunk_of(ingestion: Ingestion, index: int) -> int:
    """Which chunk holds the IDs of a batch."""
    return index * ingestion.batch_size // chunk_size(ingestion.batch_size)


def encode_ingestion(ingestion: Ingestion) -> Entity:
    """The whole ingestion row without its IDs."""
    return {
        **encode_state(ingestion),
        "created_at": ingestion.created_at.isoformat(),
        "id_count": ingestion.id_count,
        "batch_size": ingestion.batch_size,
        "digest": ingestion.digest,
        "retry_of": str(ingestion.retry_of or ""),
        "label": ingestion.label,
    }


def encode_state(ingestion: Ingestion) -> Entity:
    """The keys, and the properties that change."""
    cancelled_at, ended_at = ingestion.cancel_requested_at, ingestion.ended_at
    return {
        **key(ingestion.ingestion_id),
        "format": FORMAT,
        "unfinished": False,  # true only in rows of the first format that nobody has written since
        "priority": ingestion.priority.value,
        "generation": ingestion.generation,
        "queued": ingestion.is_queued,
        "queued_at": ingestion.queued_at.isoformat(),
        "retries": ingestion.retries,
        "started_batches": ingestion.started_batches,
        "in_flight": FlightList.dump_json(list(ingestion.in_flight)).decode(),
        "failed": ingestion.failed,
        "cancelled_batches": json.dumps(ingestion.cancelled_batches),
        "error_count": ingestion.error_count,
        "cancel_requested_at": cancelled_at.isoformat() if cancelled_at else "",
        "cancel_reason": ingestion.cancel_reason,
        "ended_at": ended_at.isoformat() if ended_at else "",
    }


def decode_ingestion(entity: Entity) -> Ingestion:
    """The ingestion that an entity with (at least) the properties `INGESTION` describes. Raises `UnreadableRow`."""
    row = checked(IngestionRow, entity)
    ingestion = Ingestion(
        ingestion_id=row.PartitionKey,
        priority=row.priority,
        created_at=row.created_at,
        queued_at=row.queued_at or row.created_at,
        id_count=row.id_count,
        batch_size=row.batch_size,
        digest=row.digest,
        label=row.label,
        generation=row.generation,
        is_queued=row.queued,
        retry_of=row.retry_of,
        retries=row.retries,
        started_batches=row.started_batches,
        in_flight=_first_format_flights(row) if row.format == 1 else tuple(row.in_flight),
        failed=row.failed,
        cancelled_batches=tuple(row.cancelled_batches),
        error_count=row.error_count,
        cancel_requested_at=row.cancel_requested_at,
        cancel_reason=row.cancel_reason,
        ended_at=row.ended_at,
    )
    _check(ingestion)
    has_begun_in_first_format = "finished_batches" in row.model_fields_set  # it told nobody when an ingestion ended
    if ingestion.has_ended and not ingestion.ended_at and not has_begun_in_first_format:
        raise UnreadableRow(f"ingestion {ingestion.ingestion_id}: no batch is left, but it has no time of its end")
    return ingestion


def encode_record(ingestion_id: UUID, record: BatchRecord) -> Entity:
    """A batch row. The result is a line for each ID, in UTF-8, in as few binary properties as hold it."""
    result = "\n".join(map(_encode_item, record.items)).encode()
    pieces = [result[start : start + PROPERTY_BYTES] for start in range(0, len(result), PROPERTY_BYTES)]
    return {
        "PartitionKey": str(ingestion_id),
        "RowKey": batch_row_key(record.index),
        "format": FORMAT,
        "status": record.status.value,
        "token": record.token,
        "attempts": record.attempts,
        "triggered_at": record.triggered_at.isoformat(),
        "completed_at": record.completed_at.isoformat(),
        "error": record.error,
        RESULT_SIZE: len(result),
        **{_result_property(index): piece for index, piece in enumerate(pieces)},
    }


def decode_record(entity: Entity) -> BatchRecord:
    """The record of a batch row; without items if it was read without its result. Raises `UnreadableRow`."""
    row = checked(BatchRow, entity)
    result = b"".join(_numbered(entity, _result_property))
    if entity.get(RESULT_SIZE, len(result)) != len(result):
        raise UnreadableRow(f"{name_of(entity)}: the result is incomplete")
    # In the first format every error of a failed batch looks final.
    errors_are_final = row.format > 1 or row.status is not Status.FAILED
    try:
        lines = [line for line in result.decode().split("\n") if line]
        items = [_decode_item(line, error_is_final=errors_are_final) for line in lines]
    except (ValueError, RecursionError):
        raise UnreadableRow(f"{name_of(entity)}: the result cannot be read") from None
    return BatchRecord(
        index=batch_index(entity),
        status=row.status,
        attempts=row.attempts,
        triggered_at=row.triggered_at,
        completed_at=row.completed_at,
        token=row.token,
        error=row.error,
        items=items,
    )


def result_size(entity: Entity) -> int:
    """The bytes of a batch row's result; the entity was read with the property `RESULT_SIZE`."""
    size = entity.get(RESULT_SIZE)
    return max(size, 0) if isinstance(size, int) else 0


def _first_format_flights(row: IngestionRow) -> tuple[Flight, ...]:
    """The first format had at most one batch in flight, whose host has been stopped for the upgrade."""
    if row.triggered_at is None:
        return ()
    flight = Flight(
        index=row.finished_batches,
        token="",
        running=False,
        age=0,
        lease=0,
        started_at=row.triggered_at,
        attempts=row.attempts,
        failures=row.failures,
        error=cut_error(row.error),
    )
    return (flight,)


def _check(ingestion: Ingestion) -> None:
    """Check that the properties fit together. Raises `UnreadableRow`."""
    indices = [flight.index for flight in ingestion.in_flight]
    started = [*indices, *ingestion.cancelled_batches]
    if ingestion.started_batches > ingestion.batch_count:
        problem = "more batches were started than there are"
    elif len(set(started)) < len(started) or not all(0 <= index < ingestion.started_batches for index in started):
        problem = "in_flight or cancelled_batches name a batch twice, or one that was never started"
    elif not ingestion.cancel_requested_at and (ingestion.cancelled_batches or ingestion.cancel_reason):
        problem = "something was cancelled, but no cancel was asked for"
    elif ingestion.ended_at and not ingestion.has_ended:
        problem = "it has a time of its end, but batches are left"
    elif indices != sorted(indices):
        problem = "in_flight is not in order"
    elif ingestion.error_count > ingestion.id_count:
        problem = "more IDs ended with an error than there are"
    elif not all(map(_is_sound, ingestion.in_flight)):
        problem = "in_flight has a number or a time that cannot be"
    elif not _has_sound_bitmap(ingestion):
        problem = "failed names a batch that has not ended, or was cancelled"
    else:
        return
    raise UnreadableRow(f"ingestion {ingestion.ingestion_id}: {problem}")


def _is_sound(flight: Flight) -> bool:
    counts = (flight.attempts, flight.failures, flight.unrecorded)
    return (
        all(0 <= count <= MAX_COUNT for count in counts)
        and 0 <= flight.age <= MAX_AGE_SECONDS
        and 0 <= flight.lease <= MAX_CLOSED_SECONDS
        and 0 <= flight.not_before <= flight.age + MAX_CLOSED_SECONDS
        and flight.started_at.tzinfo is not None
    )


def _has_sound_bitmap(ingestion: Ingestion) -> bool:
    failed = int.from_bytes(ingestion.failed, "little")
    not_failed = [*(flight.index for flight in ingestion.in_flight), *ingestion.cancelled_batches]
    return failed >> ingestion.started_batches == 0 and not any(map(ingestion.has_batch_failed, not_failed))


def _encode_item(item: Item) -> str:
    """`7 {"a":1}`, `7 !"the API answered 404"` (final) or `7 ?"the API answered 500"`: data needs no escaping."""
    if not item.error:
        return f"{item.item_id} {item.data}"
    return f"{item.item_id} {'!' if item.is_final else '?'}{json.dumps(item.error)}"


def _decode_item(line: str, *, error_is_final: bool) -> Item:
    number, _, text = line.partition(" ")
    if text[:1] in ("!", "?"):
        is_final = text[0] == "!" and error_is_final
        return Item(item_id=int(number), error=str(json.loads(text[1:])), is_final=is_final)
    return Item(item_id=int(number), data=_checked_json(text))


def _checked_json(text: str) -> str:
    """Return the text. Raises `ValueError` if it is not JSON. Any depth of nesting is accepted."""
    with suppress(RecursionError):
        json.loads(text, parse_constant=_refuse_constant)
    return text


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _result_property(index: int) -> str:
    return f"result_{index:02d}"


def _numbered(entity: Entity, name: Callable[[int], str]) -> Iterator[bytes]:
    index = 0
    while isinstance(piece := entity.get(name(index)), bytes):
        yield piece
        index += 1
