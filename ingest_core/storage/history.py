"""The table `history`: a row for each closed ingestion, partitioned by its day of creation, newest first."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Self
from uuid import UUID

from pydantic import model_validator

from ingest_core.errors import NotFound, UnreadableRow
from ingest_core.models import Ingestion, Priority, Status
from ingest_core.ports import Entity, Stored, Table
from ingest_core.storage.backlog import ingestion_id_in, inverted, row_key
from ingest_core.storage.row_models import (
    Count,
    CreationMoment,
    FinalStatus,
    Identifier,
    LaneName,
    MaybeIdentifier,
    Moment,
    Row,
    checked,
)

_LAST_DAY = 9_999_999


@dataclass(frozen=True, kw_only=True)
class ClosedIngestion:
    """An ingestion as it ended."""

    ingestion_id: UUID
    status: Status
    priority: Priority
    label: str
    created_at: datetime
    ended_at: datetime
    id_count: int
    batch_count: int
    completed_count: int
    failed_count: int
    cancelled_count: int
    error_count: int
    retry_of: UUID | None
    partition_key: str
    row_key: str


class History:
    """Reads and writes of history rows. Every method raises `StorageUnavailable`."""

    def __init__(self, table: Table) -> None:
        self._table = table

    async def put(self, ingestion: Ingestion) -> None:
        """Write the row of an ended ingestion. An existing row is overwritten."""
        await self._table.replace(encode_closed(ingestion))

    async def contains(self, ingestion: Ingestion) -> bool:
        """Whether the ingestion has a row."""
        try:
            await self._table.get(
                _partition_key(ingestion.created_at.astimezone(UTC).date()), row_key(ingestion), select=("RowKey",)
            )
        except NotFound:
            return False
        return True

    async def delete(self, closed: ClosedIngestion) -> None:
        """Remove a row. A missing row is no error."""
        try:
            await self._table.delete(closed.partition_key, closed.row_key)
        except NotFound:
            return

    async def rows(self, *, after: str = "", page_size: int = 1000) -> AsyncIterator[ClosedIngestion | str]:
        """The closed ingestions, newest first, after the row key `after`.

        For a row that cannot be read, its key is yielded. A row with a foreign key is left out, because no page could
        continue after it.
        """
        async for stored in self._stored(after, page_size):
            if ingestion_id_in(str(stored.entity["RowKey"])):
                yield _decoded(stored)

    def created_before(self, moment: datetime, *, after: str = "") -> AsyncIterator[ClosedIngestion | str]:
        """The closed ingestions that were created before a moment, newest first, in small pages.

        With `after`, only those after this row key.
        """
        return self.rows(after=max(after, inverted(moment)), page_size=100)

    async def _stored(self, after: str, page_size: int) -> AsyncIterator[Stored]:
        day = ""
        if after:
            day = _partition_key(_day_of(after))
            keys = (f"{after}~", "~")
            async for stored in self._table.query({"PartitionKey": day}, row_keys=keys, page_size=page_size):
                yield stored
            day += "~"
        async for stored in self._table.query({}, partition_keys=(day, "~"), page_size=page_size):
            yield stored


class _HistoryRow(Row):
    PartitionKey: str
    RowKey: str
    ingestion_id: Identifier
    status: FinalStatus
    priority: LaneName
    label: str = ""
    created_at: CreationMoment
    ended_at: Moment
    id_count: Count
    batch_count: Count
    completed_count: Count
    failed_count: Count
    cancelled_count: Count
    error_count: Count
    retry_of: MaybeIdentifier = None

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        if self.completed_count + self.failed_count + self.cancelled_count != self.batch_count:
            raise ValueError("the counts do not add up")
        return self


def _partition_key(day: date) -> str:
    return f"{_LAST_DAY - day.toordinal():07d}"


def _day_of(key: str) -> date:
    """The day of creation that a row key names."""
    microseconds = 9_999_999_999_999_999 - int(key[:16])
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)).date()


def encode_closed(ingestion: Ingestion) -> Entity:
    """The row of an ended ingestion."""
    return {
        "PartitionKey": _partition_key(ingestion.created_at.astimezone(UTC).date()),
        "RowKey": row_key(ingestion),
        "format": 2,
        "ingestion_id": str(ingestion.ingestion_id),
        "status": ingestion.status.value,
        "priority": ingestion.priority.value,
        "label": ingestion.label,
        "created_at": ingestion.created_at.isoformat(),
        "ended_at": (ingestion.ended_at or ingestion.created_at).isoformat(),
        "id_count": ingestion.id_count,
        "batch_count": ingestion.batch_count,
        "completed_count": ingestion.completed_count,
        "failed_count": ingestion.failed_count,
        "cancelled_count": ingestion.cancelled_count,
        "error_count": ingestion.error_count,
        "retry_of": str(ingestion.retry_of or ""),
    }


def _decoded(stored: Stored) -> ClosedIngestion | str:
    try:
        row = checked(_HistoryRow, stored.entity)
    except UnreadableRow:
        return str(stored.entity["RowKey"])
    if row.RowKey != f"{inverted(row.created_at)}-{row.ingestion_id}":  # the key of another ingestion
        return row.RowKey
    fields = row.model_dump(exclude={"PartitionKey", "RowKey"})
    return ClosedIngestion(**fields, partition_key=row.PartitionKey, row_key=row.RowKey)
