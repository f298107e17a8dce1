"""The examples of the OpenAPI document: one list of five IDs, as every operation shows it."""

from typing import Any

ONE = "23a1a808-f048-4c0d-b721-acde7402adb4"
RETRY = "0c5d1f6e-4c0b-5b58-9a3f-0d1f3a7f2b11"
_FIRST_BATCH, _SECOND_BATCH = (f"23a1a808-f048-8c0d-b721-acde0000000{index}" for index in range(2))
_CREATED, _STARTED, _ENDED = (f"2026-12-01T08:00:{seconds}+00:00" for seconds in ("00.276932", "02.5", "02.9"))
_NEXT_SLOT = "2026-12-01T08:00:07.5+00:00"

BODY = {"ids": [1, 2, 3, 4, 5], "priority": "HIGH", "label": "invoices of November"}
PRIORITY = {"priority": "LOW"}
CANCEL = {"reason": "sent twice"}
PAUSE = {"reason": "the API is being upgraded", "until": "2099-12-01T08:00:00Z"}

ACCEPTED = {"ingestion_id": ONE}
RETRIED = {"ingestion_id": RETRY, "retry_of": ONE}

_COUNTS = {
    "ids": 5, "errors": 0, "batches": 2, "yet_to_start": 1, "triggered": 0, "completed": 1, "failed": 0, "cancelled": 0,
}  # fmt: skip
_FORECAST = {"ingestions_ahead": 0, "batches_ahead": 0, "starts_at": _NEXT_SLOT, "ends_at": _NEXT_SLOT}
_NAMED = {
    "ingestion_id": ONE, "label": "invoices of November", "status": "triggered", "priority": "HIGH",
    "created_at": _CREATED, "retry_of": None,
}  # fmt: skip
_STATE: dict[str, Any] = {
    **_NAMED, "queued_at": _CREATED, "ended_at": None, "cancel_requested_at": None, "cancel_reason": None,
    "retries": 0, "retried_by": None,
    "counts": _COUNTS, "in_flight": [],
}  # fmt: skip

SUMMARY = {**_STATE, "forecast": _FORECAST}
STATUS = {
    **_STATE,
    "batches": [
        {"batch_id": _FIRST_BATCH, "ids": [1, 2, 3], "status": "completed"},
        {"batch_id": _SECOND_BATCH, "ids": [4, 5], "status": "yet_to_start"},
    ],
}
BATCHES = {
    "batches": [
        {
            "batch_id": _FIRST_BATCH, "ids": [1, 2, 3], "status": "completed", "attempts": 1, "triggered_at": _STARTED,
            "completed_at": _ENDED, "error": None,
        }
    ]
}  # fmt: skip
RESULTS = [{"id": 1, "data": {"name": "one"}}, {"id": 2, "error": "the API answered 404"}]
RESULT_LINES = (
    '{"id": 1, "data": {"name": "one"}}\n{"id": 2, "error": "the API answered 404"}\n'
    f'{{"next": "/results/{ONE}?cursor=1"}}\n'
)
INGESTIONS = {
    "ingestions": [{**_NAMED, "ended_at": None, "counts": _COUNTS, "forecast": _FORECAST}],
    "next_cursor": None,
}

_EMPTY_LANE: dict[str, Any] = {
    "paused": None, "ingestions": 0, "batches": 0, "oldest_at": None, "new_list_starts_at": _NEXT_SLOT, "front": [],
}  # fmt: skip
_FRONT = {
    "ingestion_id": ONE, "label": "invoices of November", "status": "triggered", "counts": _COUNTS,
    "forecast": _FORECAST,
}  # fmt: skip
LANES = {
    "now": _ENDED, "interval_seconds": 5, "last_start_at": _STARTED, "next_slot_at": _NEXT_SLOT, "throttled": None,
    "down_since": None, "trouble": None, "paused": None, "running": [],
    "lanes": {
        "HIGH": {**_EMPTY_LANE, "ingestions": 1, "batches": 1, "oldest_at": _CREATED, "front": [_FRONT]},
        "MEDIUM": _EMPTY_LANE,
        "LOW": {**_EMPTY_LANE, "paused": {"reason": "invoices first", "since": _CREATED, "until": None},
                "new_list_starts_at": None},
    },
}  # fmt: skip
METRICS = (
    "# HELP ingest_interval_seconds The least time between two starts.\n# TYPE ingest_interval_seconds gauge\n"
    "ingest_interval_seconds 5.0\n"
)
HEALTH = {
    "status": "ok", "waiting": {"HIGH": 1, "MEDIUM": 0, "LOW": 0}, "last_start_at": _STARTED, "throttled_until": None,
    "down_since": None, "paused_lanes": ["LOW"],
}  # fmt: skip
