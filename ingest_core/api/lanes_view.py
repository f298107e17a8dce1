"""Writes the answer of `GET /lanes`, which the board shows: what waits, what runs, and what delays it."""

import json
from typing import Any

from ingest_core.api.views import counts, forecast_fields, moment
from ingest_core.models import Ingestion, Priority
from ingest_core.service.overview import Overview, Running
from ingest_core.storage.gate_row import EVERYTHING, Pause


def lanes_text(overview: Overview, *, interval: float) -> str:
    """The answer of `GET /lanes`."""
    gate = overview.gate
    throttle = gate.throttle
    fields = {
        "now": overview.now.isoformat(),
        "interval_seconds": interval,
        "last_start_at": moment(gate.last_start_at),
        "next_slot_at": gate.next_slot_at.isoformat(),
        "throttled": throttle and {"until": throttle.until.isoformat(), "reason": throttle.reason},
        "down_since": gate.down_since or None,
        "trouble": gate.trouble or None,
        "paused": _pause_fields(gate.pauses.get(EVERYTHING)),
        "running": [_running_fields(running) for running in overview.running],
        "lanes": {lane: _lane_fields(overview, lane) for lane in Priority},
    }
    return json.dumps(fields) + "\n"


def _lane_fields(overview: Overview, lane: Priority) -> dict[str, Any]:
    summary = overview.lanes[lane]
    return {
        "paused": _pause_fields(overview.gate.pauses.get(lane)),
        "ingestions": summary.ingestions,
        "batches": summary.batches,
        "oldest_at": moment(summary.oldest_at),
        "new_list_starts_at": moment(summary.new_list_starts_at),
        "front": [_front_fields(overview, ingestion) for ingestion in summary.front],
    }


def _front_fields(overview: Overview, ingestion: Ingestion) -> dict[str, Any]:
    return {
        "ingestion_id": str(ingestion.ingestion_id),
        "label": ingestion.label or None,
        "status": ingestion.status,
        "counts": counts(ingestion),
        "forecast": forecast_fields(overview.forecasts.get(ingestion.ingestion_id)),
    }


def _running_fields(running: Running) -> dict[str, Any]:
    """A batch that runs; batches are counted from one, for people."""
    ingestion = running.ingestion
    return {
        "ingestion_id": str(ingestion.ingestion_id),
        "label": ingestion.label or None,
        "priority": ingestion.priority,
        "batch": running.flight.index + 1,
        "of": ingestion.batch_count,
        "since": running.flight.started_at.isoformat(),
    }


def _pause_fields(pause: Pause | None) -> dict[str, Any] | None:
    if pause is None:
        return None
    return {
        "reason": pause.reason or None,
        "since": pause.since.isoformat(),
        "until": moment(pause.until),
    }
