"""How ingestions and records are shown: JSON texts, written without one object per batch.

A status of 33 334 batches is 3.5 MB of JSON: filling in templates is faster than building dictionaries and encoding
them (`dev.py bench` compares the two).
"""

import json
from collections.abc import Sequence
from itertools import chain
from typing import Any

from ingest_core.batching import batch_id, batch_id_prefix
from ingest_core.models import BatchRecord, Ingestion, Item, Status


def status_text(ingestion: Ingestion, ids: Sequence[int]) -> str:
    """The answer of `GET /status/{ingestion_id}`."""
    head = json.dumps(summary(ingestion))
    return f'{head[:-1]}, "batches": [{_batch_texts(ingestion, ids)}]}}'


def batch_text(ingestion: Ingestion, index: int, ids: Sequence[int], record: BatchRecord | None) -> str:
    """One batch with its record, for `GET /status/{ingestion_id}/batches`."""
    start = index * ingestion.batch_size
    flight = ingestion.flight if index == ingestion.finished_batches else None
    begun = record or flight
    error = begun.error if begun else ""
    return json.dumps(
        {
            "batch_id": str(batch_id(ingestion.ingestion_id, index)),
            "ids": ids[start : start + ingestion.batch_size],
            "status": ingestion.batch_status(index),
            "attempts": begun.attempts if begun else 0,
            "triggered_at": begun.triggered_at.isoformat() if begun else None,
            "completed_at": record.completed_at.isoformat() if record else None,
            "error": error or None,
        }
    )


def result_text(item: Item) -> str:
    """One ID's line of `GET /results/{ingestion_id}`; its data is JSON already."""
    if item.error:
        return json.dumps({"id": item.item_id, "error": item.error})
    return f'{{"id": {item.item_id}, "data": {item.data}}}'


def _batch_texts(ingestion: Ingestion, ids: Sequence[int]) -> str:
    """All batches, from one template that is as long as they are: a third of the time of a text for each."""
    size = ingestion.batch_size
    whole, rest = divmod(len(ids), size)
    statuses = _batch_statuses(ingestion)
    columns = (ids[place : whole * size : size] for place in range(size))
    values = chain.from_iterable(zip(range(whole), *columns, statuses, strict=False))
    template = [_batch_template(ingestion, size)] * whole
    if rest:
        template.append(_batch_template(ingestion, rest))
        values = chain(values, (whole, *ids[whole * size :], statuses[whole]))
    return ", ".join(template) % tuple(values)


def _batch_template(ingestion: Ingestion, size: int) -> str:
    numbers = ", ".join(["%d"] * size)
    return f'{{"batch_id": "{batch_id_prefix(ingestion.ingestion_id)}%08x", "ids": [{numbers}], "status": "%s"}}'


def _batch_statuses(ingestion: Ingestion) -> list[Status]:
    count, ended, in_flight = ingestion.batch_count, ingestion.finished_batches, int(bool(ingestion.flight))
    statuses = [Status.COMPLETED] * ended
    statuses += [Status.TRIGGERED] * in_flight
    statuses += [Status.YET_TO_START] * (count - ended - in_flight)
    if any(ingestion.failed):
        statuses[:ended] = map(ingestion.batch_status, range(ended))
    return statuses


def summary(ingestion: Ingestion) -> dict[str, Any]:
    """All of a status but the batches."""
    flight = ingestion.flight
    failed = sum(byte.bit_count() for byte in ingestion.failed)
    return {
        "ingestion_id": str(ingestion.ingestion_id),
        "status": ingestion.status,
        "priority": ingestion.priority,
        "created_at": ingestion.created_at.isoformat(),
        "retry_of": str(ingestion.retry_of) if ingestion.retry_of else None,
        "counts": {
            "ids": ingestion.id_count,
            "errors": ingestion.error_count,
            "batches": ingestion.batch_count,
            Status.YET_TO_START: ingestion.batch_count - ingestion.finished_batches - bool(flight),
            Status.TRIGGERED: int(bool(flight)),
            Status.COMPLETED: ingestion.finished_batches - failed,
            Status.FAILED: failed,
        },
        "in_flight": flight
        and {
            "batch_id": str(batch_id(ingestion.ingestion_id, ingestion.finished_batches)),
            "attempts": flight.attempts,
            "triggered_at": flight.triggered_at.isoformat(),
            "error": flight.error or None,
            "held_until": flight.held_until.isoformat() if flight.held_until else None,
        },
    }
