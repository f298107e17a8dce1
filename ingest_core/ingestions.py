"""The table `ingestions` as the service sees it: one point read or one write for every question.

The IDs stay in storage's form until somebody needs them; a tick reads only the chunk that holds its batch.
"""

from bisect import bisect_left
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from uuid import UUID

from ingest_core import rows
from ingest_core.batching import chunk_size
from ingest_core.models import BatchRecord, Ingestion
from ingest_core.ports import Entity, Table


@dataclass(frozen=True, kw_only=True)
class Turn:
    """An ingestion at its cursor: the version that was read, and the IDs of the batch at the cursor."""

    ingestion: Ingestion
    etag: str
    ids: Sequence[int]


class Ingestions:
    """Reads and writes of ingestion rows and batch rows."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._chunk = 0  # where the cursor of the last ingestion was: the next one is most often there too

    async def insert(self, ingestion: Ingestion, ids: Sequence[int]) -> None:
        """Raises `AlreadyExists`."""
        await self._table.insert({**rows.encode_ingestion(ingestion), **rows.encode_ids(ids, ingestion.batch_size)})

    async def read(self, ingestion_id: UUID) -> Ingestion:
        """Read all but the IDs. Raises `NotFound`."""
        return (await self.read_version(ingestion_id))[0]

    async def read_version(self, ingestion_id: UUID) -> tuple[Ingestion, str]:
        """The same, with its ETag. Raises `NotFound`."""
        stored = await self._table.get(str(ingestion_id), str(ingestion_id), select=rows.INGESTION)
        return rows.decode_ingestion(stored.entity), stored.etag

    async def read_whole(self, ingestion_id: UUID) -> tuple[Ingestion, list[int]]:
        """Read the ingestion and all its IDs. Raises `NotFound`."""
        stored = await self._table.get(str(ingestion_id), str(ingestion_id))
        return rows.decode_ingestion(stored.entity), rows.decode_ids(stored.entity)

    async def read_turn(self, ingestion_id: UUID) -> Turn:
        """Read the batch at the cursor; a second read is needed where the cursor enters another chunk of the IDs.

        Raises `NotFound`.
        """
        while True:
            select = (*rows.INGESTION, rows.ids_property(self._chunk))
            stored = await self._table.get(str(ingestion_id), str(ingestion_id), select=select)
            ingestion = rows.decode_ingestion(stored.entity)
            if ingestion.finished:
                return Turn(ingestion=ingestion, etag=stored.etag, ids=())
            ids = rows.decode_batch(stored.entity, ingestion, ingestion.finished_batches)
            if ids is not None:
                return Turn(ingestion=ingestion, etag=stored.etag, ids=ids)
            first_id = ingestion.finished_batches * ingestion.batch_size
            self._chunk = first_id // chunk_size(ingestion.batch_size)

    async def update(self, ingestion: Ingestion, *, etag: str) -> str:
        """Write what changes in an ingestion; return the new ETag. Raises `Changed`."""
        return await self._table.merge(rows.encode_state(ingestion), etag=etag)

    async def end_batch(self, ingestion: Ingestion, record: BatchRecord, *, etag: str) -> None:
        """Write the batch's record and move the cursor: both or neither. Raises `Changed`."""
        await self._table.put_and_merge(
            rows.encode_record(ingestion.ingestion_id, record), rows.encode_state(ingestion), etag=etag
        )

    async def queued_again(self, ingestion: Ingestion, *, etag: str) -> None:
        """Note when its message was put back. Raises `Changed`."""
        await self._table.merge(
            {**rows.key(ingestion.ingestion_id), "queued_at": ingestion.queued_at.isoformat()}, etag=etag
        )

    async def unfinished(self) -> AsyncIterator[tuple[Ingestion, str]]:
        """Every unfinished ingestion, with its ETag. This reads the whole table: not for hot paths."""
        async for stored in self._table.query({"unfinished": True}, select=rows.INGESTION):
            yield rows.decode_ingestion(stored.entity), stored.etag

    async def records(self, ingestion_id: UUID, first: int, limit: int) -> list[BatchRecord]:
        """The records of the batches from `first` on, at most `limit` of them, without their results."""
        return [
            rows.decode_record(entity) async for entity in self._batch_rows(ingestion_id, first, limit, rows.RECORD)
        ]

    async def results(self, ingestion_id: UUID, first: int, limit: int, *, enough_bytes: int) -> list[BatchRecord]:
        """The same with results, up to the record that makes them `enough_bytes`.

        The sizes are read first: a thousand rows of results are too much to hold, and to fetch in one call.
        """
        sizes = self._batch_rows(ingestion_id, first, limit, (rows.RESULT_SIZE,))
        totals = list(accumulate([rows.result_size(entity) async for entity in sizes]))
        count = min(bisect_left(totals, enough_bytes) + 1, len(totals))
        return [rows.decode_record(entity) async for entity in self._batch_rows(ingestion_id, first, count, ())]

    async def _batch_rows(
        self, ingestion_id: UUID, first: int, limit: int, select: Sequence[str]
    ) -> AsyncIterator[Entity]:
        row_keys = (rows.batch_row_key(first), rows.batch_row_key(first + limit))
        partition: Entity = {"PartitionKey": str(ingestion_id)}
        async for stored in self._table.query(partition, row_keys=row_keys, select=select, page_size=max(1, limit)):
            yield stored.entity
