"""The table `backlog`: a row for each ingestion that is not closed, in one partition, newest first.

So the cost of a forecast, of recovery and of a list of open ingestions depends on how many are open, not on how many
have ended.
"""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from ingest_core.errors import AlreadyExists, Changed, NotFound, StorageUnavailable, UnreadableRow
from ingest_core.models import Ingestion, Priority
from ingest_core.ports import Entity, Stored, Table
from ingest_core.storage.row_models import Count, CreationMoment, Identifier, LaneName, Moment, Row, checked

PARTITION_KEY = "open"
UPDATE_ATTEMPTS = 40
_LAST_MICROSECOND = 9_999_999_999_999_999
_KEY = re.compile("[0-9]{16}-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True, kw_only=True)
class OpenIngestion:
    """What the backlog says of an ingestion. `batches_left` was counted at `queued_at`; the ingestion row may be newer.

    `touched_at` is storage's own clock at the latest write of the backlog row.
    """

    ingestion_id: UUID
    priority: Priority
    generation: int
    created_at: datetime
    queued_at: datetime
    batches_left: int
    label: str
    row_key: str
    touched_at: datetime


def row_key(ingestion: Ingestion) -> str:
    """The RowKey in the backlog and in the history: the time of creation, inverted so that the newest comes first."""
    return f"{inverted(ingestion.created_at)}-{ingestion.ingestion_id}"


def inverted(moment: datetime) -> str:
    """The beginning of a RowKey: the microseconds that are left, so that later moments sort first."""
    microseconds = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    return f"{_LAST_MICROSECOND - microseconds:016d}"


def ingestion_id_in(key: str) -> UUID | None:
    """The ingestion that a RowKey names, or None if it is not one of ours."""
    return UUID(key[17:]) if _KEY.fullmatch(key) else None


class Backlog:
    """Reads and writes of backlog rows. Every method raises `StorageUnavailable`."""

    def __init__(self, table: Table) -> None:
        self._table = table

    async def insert(self, ingestion: Ingestion) -> bool:
        """Add an ingestion. An existing row stays as it is. Returns whether the row was missing."""
        try:
            await self._table.insert(_encode(ingestion))
        except AlreadyExists:
            return False
        return True

    async def update(self, ingestion: Ingestion) -> None:
        """Write what a change of priority or a recovery has changed.

        A row that is missing, or that has a younger generation, stays as it is.
        """
        for _ in range(UPDATE_ATTEMPTS):
            try:
                stored = await self._table.get(PARTITION_KEY, row_key(ingestion))
                generation = stored.entity.get("generation", 0)
                if isinstance(generation, int) and generation > ingestion.generation:
                    return
                await self._table.merge(_encode(ingestion), etag=stored.etag)
            except NotFound:
                return
            except Changed:
                continue
            return
        raise StorageUnavailable(f"a backlog row changed under each of {UPDATE_ATTEMPTS} writes")

    async def repair(self, ingestion: Ingestion) -> None:
        """Overwrite a row that cannot be read, or is ahead of its ingestion. A missing row is not written."""
        try:
            stored = await self._table.get(PARTITION_KEY, row_key(ingestion), select=("RowKey",))
            await self._table.replace(_encode(ingestion), etag=stored.etag)
        except (NotFound, Changed):
            return

    async def delete(self, key: str) -> None:
        """Remove a row. A missing row is no error."""
        try:
            await self._table.delete(PARTITION_KEY, key)
        except NotFound:
            return

    async def rows(self, *, after: str = "") -> AsyncIterator[OpenIngestion | str]:
        """The open ingestions, newest first, after the key `after`. A row that cannot be read is given as its key."""
        keys = (f"{after}~" if after else "", "~")
        async for stored in self._table.query({"PartitionKey": PARTITION_KEY}, row_keys=keys):
            try:
                yield _decode(stored)
            except UnreadableRow:
                yield str(stored.entity["RowKey"])

    async def everything(self) -> list[OpenIngestion]:
        """All open ingestions whose rows can be read, in the order in which they were queued."""
        readable = [row async for row in self.rows() if isinstance(row, OpenIngestion)]
        return sorted(readable, key=lambda row: (row.queued_at, row.created_at))


class _BacklogRow(Row):
    RowKey: str
    ingestion_id: Identifier
    priority: LaneName
    generation: Count = 0
    created_at: CreationMoment
    queued_at: Moment
    batches_left: Count
    label: str = ""


def _encode(ingestion: Ingestion) -> Entity:
    return {
        "PartitionKey": PARTITION_KEY,
        "RowKey": row_key(ingestion),
        "format": 2,
        "ingestion_id": str(ingestion.ingestion_id),
        "priority": ingestion.priority.value,
        "generation": ingestion.generation,
        "created_at": ingestion.created_at.isoformat(),
        "queued_at": ingestion.queued_at.isoformat(),
        "batches_left": ingestion.batches_to_start,
        "label": ingestion.label,
    }


def _decode(stored: Stored) -> OpenIngestion:
    row = checked(_BacklogRow, stored.entity)
    if row.RowKey != f"{inverted(row.created_at)}-{row.ingestion_id}":
        raise UnreadableRow(f"row {PARTITION_KEY}/{row.RowKey}: the key names another ingestion, or another moment")
    return OpenIngestion(
        ingestion_id=row.ingestion_id,
        priority=row.priority,
        generation=row.generation,
        created_at=row.created_at,
        queued_at=row.queued_at,
        batches_left=row.batches_left,
        label=row.label,
        row_key=row.RowKey,
        touched_at=stored.written_at,
    )
