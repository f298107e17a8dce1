"""Closing: an ended ingestion leaves the backlog for the history, once its ended event was sent.

Every step may be repeated. So the process that writes the end of the last batch closes the ingestion, or a cancel does,
and upkeep closes what these have left.
"""

import json
from collections.abc import Awaitable, Callable
from uuid import UUID, uuid5

from ingest_core.models import Ingestion
from ingest_core.storage.backlog import Backlog, row_key
from ingest_core.storage.history import History

EVENTS = UUID("0d9cf0b4-63a7-5c28-9a1e-5c1b6c0d2f4e")
"""The UUIDv5 namespace of event IDs: an event that is sent again has the same ID."""

SendEvent = Callable[[str], Awaitable[None]]


class Closing:
    """Closes ended ingestions. `send_event` is None where no queue for ended events is configured."""

    def __init__(self, *, backlog: Backlog, history: History, send_event: SendEvent | None) -> None:
        self._backlog = backlog
        self._history = history
        self._send_event = send_event

    async def close(self, ingestion: Ingestion, *, backlog_key: str | None = None) -> None:
        """Send the event, then write the history row, then remove the backlog row.

        `backlog_key` is the key under which the backlog row was found. If `StorageUnavailable` is raised, the backlog
        row is still there, and upkeep tries again.
        """
        if self._send_event and not await self._history.contains(ingestion):
            await self._send_event(json.dumps(ended_event(ingestion)))
        await self._history.put(ingestion)
        await self._backlog.delete(backlog_key or row_key(ingestion))


def ended_event(ingestion: Ingestion) -> dict[str, object]:
    """A CloudEvents 1.0 event in JSON (https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md)."""
    ended_at = ingestion.ended_at or ingestion.created_at
    return {
        "specversion": "1.0",
        "id": str(uuid5(EVENTS, str(ingestion.ingestion_id))),
        "source": f"/ingestions/{ingestion.ingestion_id}",
        "type": f"ingestion.{ingestion.status}",
        "time": ended_at.isoformat(),
        "datacontenttype": "application/json",
        "data": {
            "ingestion_id": str(ingestion.ingestion_id),
            "label": ingestion.label or None,
            "status": ingestion.status.value,
            "batches": ingestion.batch_count,
            "completed": ingestion.completed_count,
            "failed": ingestion.failed_count,
            "cancelled": ingestion.cancelled_count,
            "errors": ingestion.error_count,
        },
    }
