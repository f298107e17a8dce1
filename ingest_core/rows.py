"""The layout of the table `ingestions`: how ingestions and batch records become entities, and back.

PartitionKey is the ingestion's ID. The ingestion row has it as RowKey too; batch rows have `batch-00000017`. Properties
never vanish in a merge, so "none" is an empty text.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from struct import pack, unpack
from typing import cast
from uuid import UUID

from ingest_core.batching import chunk_size
from ingest_core.models import BatchRecord, Flight, Ingestion, Item, Priority, Status
from ingest_core.ports import Entity

FORMAT = 1
"""Written into every row and message, so that a later release can read an earlier one's data."""

PROPERTY_BYTES = 65_536
"""The most that a binary property holds (https://learn.microsoft.com/rest/api/storageservices/understanding-the-table-service-data-model)."""

RESULT_BYTES = 700 * 1024
"""What a batch row holds of its IDs' data. An entity holds 1 MiB; Azurite measures it as sent, in base64."""

STATE = (
    "slot",
    "finished_batches",
    "unfinished",
    "failed",
    "error_count",
    "attempts",
    "failures",
    "triggered_at",
    "error",
    "held_until",
)
IDENTITY = (
    "PartitionKey", "format", "priority", "created_at", "queued_at", "id_count", "batch_size", "digest", "retry_of",
)  # fmt: skip
INGESTION = (*IDENTITY, *STATE)
RESULT_SIZE = "result_bytes"
RECORD = ("RowKey", "status", "attempts", "triggered_at", "completed_at", "error")


def key(ingestion_id: UUID) -> Entity:
    """The keys of the ingestion row."""
    return {"PartitionKey": str(ingestion_id), "RowKey": str(ingestion_id)}


def batch_row_key(index: int) -> str:
    """The RowKey of a batch row; rows sort by index."""
    return f"batch-{index:08d}"


def ids_property(index: int) -> str:
    """The name of the property that holds the index-th chunk of the IDs."""
    return f"ids_{index:02d}"


def encode_ids(ids: Sequence[int], batch_size: int) -> Entity:
    """The IDs as little-endian uint32 in as few properties as hold them."""
    size = chunk_size(batch_size)
    chunks = (ids[start : start + size] for start in range(0, len(ids), size))
    return {ids_property(index): pack(f"<{len(chunk)}I", *chunk) for index, chunk in enumerate(chunks)}


def decode_ids(entity: Entity) -> list[int]:
    """All IDs, in the order of the request."""
    data = b"".join(_numbered(entity, ids_property))
    return list(unpack(f"<{len(data) // 4}I", data))


def decode_batch(entity: Entity, ingestion: Ingestion, index: int) -> tuple[int, ...] | None:
    """The IDs of one batch, or None when the entity was read without the chunk that holds them."""
    chunk, offset = divmod(index * ingestion.batch_size, chunk_size(ingestion.batch_size))
    data = entity.get(ids_property(chunk))
    if data is None:
        return None
    piece = cast("bytes", data)[offset * 4 : (offset + ingestion.batch_size) * 4]
    return unpack(f"<{len(piece) // 4}I", piece)


def encode_ingestion(ingestion: Ingestion) -> Entity:
    """The whole ingestion row but for its IDs."""
    return {
        **key(ingestion.ingestion_id),
        "format": FORMAT,
        "priority": ingestion.priority.value,
        "created_at": ingestion.created_at.isoformat(),
        "queued_at": ingestion.queued_at.isoformat(),
        "id_count": ingestion.id_count,
        "batch_size": ingestion.batch_size,
        "batch_count": ingestion.batch_count,
        "digest": ingestion.digest,
        "retry_of": str(ingestion.retry_of or ""),
        **encode_state(ingestion),
    }


def encode_state(ingestion: Ingestion) -> Entity:
    """The keys, and the properties that change."""
    flight = ingestion.flight
    held_until = flight.held_until if flight else None
    return {
        **key(ingestion.ingestion_id),
        "slot": ingestion.slot,
        "finished_batches": ingestion.finished_batches,
        "unfinished": not ingestion.finished,
        "failed": ingestion.failed,
        "error_count": ingestion.error_count,
        "attempts": flight.attempts if flight else 0,
        "failures": flight.failures if flight else 0,
        "triggered_at": flight.triggered_at.isoformat() if flight else "",
        "error": flight.error if flight else "",
        "held_until": held_until.isoformat() if held_until else "",
    }


def decode_ingestion(entity: Entity) -> Ingestion:
    """The ingestion that an entity with (at least) the properties `INGESTION` describes."""
    retry_of = _text(entity, "retry_of")
    return Ingestion(
        ingestion_id=UUID(_text(entity, "PartitionKey")),
        priority=Priority(_text(entity, "priority")),
        created_at=datetime.fromisoformat(_text(entity, "created_at")),
        queued_at=datetime.fromisoformat(_text(entity, "queued_at")),
        id_count=_number(entity, "id_count"),
        batch_size=_number(entity, "batch_size"),
        digest=_text(entity, "digest"),
        retry_of=UUID(retry_of) if retry_of else None,
        finished_batches=_number(entity, "finished_batches"),
        failed=cast("bytes", entity["failed"]),
        error_count=_number(entity, "error_count"),
        slot=_number(entity, "slot"),
        flight=_decode_flight(entity),
    )


def encode_record(ingestion_id: UUID, record: BatchRecord) -> Entity:
    """A batch row. The result is a line for each ID, in UTF-8, in as few binary properties as hold it."""
    result = "\n".join(map(_encode_item, record.items)).encode()
    pieces = [result[start : start + PROPERTY_BYTES] for start in range(0, len(result), PROPERTY_BYTES)]
    return {
        "PartitionKey": str(ingestion_id),
        "RowKey": batch_row_key(record.index),
        "format": FORMAT,
        "status": record.status.value,
        "attempts": record.attempts,
        "triggered_at": record.triggered_at.isoformat(),
        "completed_at": record.completed_at.isoformat(),
        "error": record.error,
        RESULT_SIZE: len(result),
        **{_result_property(index): piece for index, piece in enumerate(pieces)},
    }


def decode_record(entity: Entity) -> BatchRecord:
    """The record of a batch row; without items if the entity was read without its result."""
    result = b"".join(_numbered(entity, _result_property))
    return BatchRecord(
        index=int(_text(entity, "RowKey").removeprefix("batch-")),
        status=Status(_text(entity, "status")),
        attempts=_number(entity, "attempts"),
        triggered_at=datetime.fromisoformat(_text(entity, "triggered_at")),
        completed_at=datetime.fromisoformat(_text(entity, "completed_at")),
        error=_text(entity, "error"),
        items=[_decode_item(line) for line in result.decode().split("\n") if line],
    )


def _encode_item(item: Item) -> str:
    """`7 {"a":1}`, or `7 !"the API answered 404"`: data is one line and is not escaped, so it takes no more room."""
    return f"{item.item_id} !{json.dumps(item.error)}" if item.error else f"{item.item_id} {item.data}"


def _decode_item(line: str) -> Item:
    item_id, _, text = line.partition(" ")
    if text.startswith("!"):
        return Item(item_id=int(item_id), error=json.loads(text[1:]))
    return Item(item_id=int(item_id), data=text)


def result_size(entity: Entity) -> int:
    """The bytes of a batch row's result; the entity was read with the property `RESULT_SIZE`."""
    return _number(entity, RESULT_SIZE)


def _decode_flight(entity: Entity) -> Flight | None:
    triggered_at = _text(entity, "triggered_at")
    if not triggered_at:
        return None
    held_until = _text(entity, "held_until")
    return Flight(
        triggered_at=datetime.fromisoformat(triggered_at),
        attempts=_number(entity, "attempts"),
        failures=_number(entity, "failures"),
        error=_text(entity, "error"),
        held_until=datetime.fromisoformat(held_until) if held_until else None,
    )


def _result_property(index: int) -> str:
    return f"result_{index:02d}"


def _numbered(entity: Entity, name: Callable[[int], str]) -> Iterator[bytes]:
    index = 0
    while (piece := entity.get(name(index))) is not None:
        yield cast("bytes", piece)
        index += 1


def _text(entity: Entity, name: str) -> str:
    return cast("str", entity[name])


def _number(entity: Entity, name: str) -> int:
    return cast("int", entity[name])
