"""How ingestions and records are shown: JSON texts, written without one object per batch.

A status of 33 334 batches is 3.5 MB of JSON: filling in templates is faster than building dictionaries and encoding
them (`dev.py bench` compares the two). Times are instants, never durations, so that an unchanged answer has the same
text.
"""

import json
from collections.abc import Sequence
from datetime import datetime
from itertools import chain
from typing import Any

from ingest_core.batching import batch_id, batch_id_prefix
from ingest_core.models import Flight, Ingestion, Item, Status
from ingest_core.service.forecast import Forecast
from ingest_core.service.retrying import retry_id
from ingest_core.service.service import Batches
from ingest_core.storage.history import ClosedIngestion


def status_text(ingestion: Ingestion, ids: Sequence[int]) -> str:
    """The answer of `GET /status/{ingestion_id}`."""
    head = json.dumps(state_fields(ingestion))
    return f'{head[:-1]}, "batches": [{_batch_texts(ingestion, ids)}]}}\n'


def summary_text(ingestion: Ingestion, forecast: Forecast | None) -> str:
    """The answer of `GET /ingestions/{ingestion_id}`."""
    return json.dumps({**state_fields(ingestion), "forecast": forecast_fields(forecast)}) + "\n"


def state_fields(ingestion: Ingestion) -> dict[str, Any]:
    """All of an ingestion but the batches and the forecast."""
    return {
        **_name_fields(ingestion),
        "queued_at": ingestion.queued_at.isoformat(),
        "ended_at": moment(ingestion.ended_at),
        "cancel_requested_at": moment(ingestion.cancel_requested_at),
        "cancel_reason": ingestion.cancel_reason or None,
        "retries": ingestion.retries,
        "retried_by": str(retry_id(ingestion.ingestion_id, ingestion.retries)) if ingestion.retries else None,
        "counts": counts(ingestion),
        "in_flight": [_flight_fields(ingestion, flight) for flight in ingestion.in_flight],
    }


def listed_fields(listed: Ingestion | ClosedIngestion, forecast: Forecast | None) -> dict[str, Any]:
    """The fields of an ingestion in a list. Open and closed ingestions have the same."""
    return {
        **_name_fields(listed),
        "ended_at": moment(listed.ended_at),
        "counts": counts(listed),
        "forecast": forecast_fields(forecast),
    }


def forecast_fields(forecast: Forecast | None) -> dict[str, Any] | None:
    """When an ingestion's next and last batch start at the earliest."""
    if forecast is None:
        return None
    return {
        "ingestions_ahead": forecast.ingestions_ahead,
        "batches_ahead": forecast.batches_ahead,
        "starts_at": forecast.starts_at.isoformat(),
        "ends_at": forecast.ends_at.isoformat(),
    }


def counts(listed: Ingestion | ClosedIngestion) -> dict[str, int]:
    """How many IDs and batches there are, and how many of these have which status; `errors` counts IDs."""
    is_open = isinstance(listed, Ingestion) and not listed.has_ended
    triggered = len(listed.in_flight) if isinstance(listed, Ingestion) else 0
    ended = listed.completed_count + listed.failed_count + listed.cancelled_count
    return {
        "ids": listed.id_count,
        "errors": listed.error_count,
        "batches": listed.batch_count,
        Status.YET_TO_START: listed.batch_count - ended - triggered if is_open else 0,
        Status.TRIGGERED: triggered,
        Status.COMPLETED: listed.completed_count,
        Status.FAILED: listed.failed_count,
        Status.CANCELLED: listed.cancelled_count,
    }


def batches_text(page: Batches) -> str:
    """The answer of `GET /status/{ingestion_id}/batches`."""
    texts = (json.dumps(_batch_fields(page, index)) for index in range(page.first, page.end))
    return f'{{"batches": [{", ".join(texts)}]}}\n'


def result_text(item: Item) -> str:
    """One ID's line of `GET /results/{ingestion_id}`; its data is JSON already."""
    if item.error:
        return json.dumps({"id": item.item_id, "error": item.error})
    return f'{{"id": {item.item_id}, "data": {item.data}}}'


def moment(at: datetime | None) -> str | None:
    """A time in JSON."""
    return at.isoformat() if at else None


def _name_fields(listed: Ingestion | ClosedIngestion) -> dict[str, Any]:
    return {
        "ingestion_id": str(listed.ingestion_id),
        "label": listed.label or None,
        "status": listed.status,
        "priority": listed.priority,
        "created_at": listed.created_at.isoformat(),
        "retry_of": str(listed.retry_of) if listed.retry_of else None,
    }


def _flight_fields(ingestion: Ingestion, flight: Flight) -> dict[str, Any]:
    return {
        "batch_id": str(batch_id(ingestion.ingestion_id, flight.index)),
        "running": flight.running,
        "attempts": flight.attempts,
        "failures": flight.failures,
        "triggered_at": flight.started_at.isoformat(),
        "error": flight.error or None,
    }


def _batch_fields(page: Batches, index: int) -> dict[str, Any]:
    ingestion = page.ingestion
    start = index * ingestion.batch_size
    # The batch may have ended after its ingestion was read. Then the ingestion counts, not the record.
    flight = ingestion.flight(index)
    record = None if flight else page.records.get(index)
    started_at: datetime | None
    if flight:
        attempts, started_at, error = flight.attempts, flight.started_at, flight.error
    elif record:
        attempts, started_at, error = record.attempts, record.triggered_at, record.error
    else:
        attempts, started_at, error = 0, None, ""
    return {
        "batch_id": str(batch_id(ingestion.ingestion_id, index)),
        "ids": page.ids[start : start + ingestion.batch_size],
        "status": ingestion.batch_status(index),
        "attempts": attempts,
        "triggered_at": moment(started_at),
        "completed_at": moment(record.completed_at if record else None),
        "error": error or None,
    }


def _batch_texts(ingestion: Ingestion, ids: Sequence[int]) -> str:
    """All batches, from one template for all of them. A template for each batch would take three times as long."""
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
    """The status of each batch: most have completed or were never started, so only the others are looked at."""
    started = ingestion.started_batches
    never_started = Status.CANCELLED if ingestion.cancel_requested_at else Status.YET_TO_START
    statuses = [Status.COMPLETED] * started + [never_started] * (ingestion.batch_count - started)
    if any(ingestion.failed):
        statuses[:started] = [
            Status.FAILED if ingestion.has_batch_failed(i) else Status.COMPLETED for i in range(started)
        ]
    for flight in ingestion.in_flight:
        statuses[flight.index] = Status.TRIGGERED
    for index in ingestion.cancelled_batches:
        statuses[index] = Status.CANCELLED
    return statuses
