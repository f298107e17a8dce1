"""The table `ingestions` as the service sees it. Most methods cost one point read or one write.

The IDs are decoded only where they are needed; a tick reads only the chunk that contains its batch.
"""

import asyncio
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from uuid import UUID
from weakref import WeakValueDictionary

from ingest_core.errors import NotFound, UnreadableRow
from ingest_core.models import BatchRecord, Ingestion
from ingest_core.ports import Entity, Stored, Table
from ingest_core.storage import rows
from ingest_core.storage.changes import Version, write_change

REMEMBERED_VERSIONS = 256
"""The number of ingestion rows whose latest version is kept, so that a change most often needs no read."""

Change = Callable[[Ingestion], Ingestion | None]


@dataclass(frozen=True, kw_only=True)
class NextBatch:
    """The batch that was chosen to start, the version of its ingestion that it was chosen from, and its IDs."""

    version: Version[Ingestion]
    index: int
    ids: Sequence[int]

    @property
    def ingestion(self) -> Ingestion:
        """The ingestion as it was read."""
        return self.version.value


class Ingestions:
    """Reads and writes of ingestion rows and batch rows.

    Every method raises `StorageUnavailable`; those that read an ingestion raise `UnreadableRow` too. The changes of one
    ingestion are written one after another within a process, so that batches that end together do not conflict.
    """

    def __init__(self, table: Table) -> None:
        self._table = table
        self._latest: OrderedDict[UUID, Version[Ingestion]] = OrderedDict()
        self._writers: WeakValueDictionary[UUID, asyncio.Lock] = WeakValueDictionary()
        self._chunk = 0  # where the last batch's IDs were: the next batch's are most often there too

    async def insert(self, ingestion: Ingestion, ids: Sequence[int]) -> None:
        """Write the row of a new ingestion. Raises `AlreadyExists`."""
        await self._table.insert({**rows.encode_ingestion(ingestion), **rows.encode_ids(ids, ingestion.batch_size)})

    async def read(self, ingestion_id: UUID) -> Version[Ingestion]:
        """Read all but the IDs. Raises `NotFound`."""
        stored = await self._get(ingestion_id, rows.INGESTION)
        return self._remember(Version(value=rows.decode_ingestion(stored.entity), etag=stored.etag))

    def latest(self, ingestion_id: UUID) -> Ingestion | None:
        """The ingestion as this process has read or written it last; storage may be ahead."""
        version = self._latest.get(ingestion_id)
        return version.value if version else None

    async def read_whole(self, ingestion_id: UUID) -> tuple[Version[Ingestion], list[int]]:
        """Read the ingestion and all its IDs. Raises `NotFound`."""
        stored = await self._get(ingestion_id, ())
        ingestion = rows.decode_ingestion(stored.entity)
        ids = rows.decode_ids(stored.entity, ingestion)
        return self._remember(Version(value=ingestion, etag=stored.etag)), ids

    async def read_next(
        self, ingestion_id: UUID, choose: Callable[[Ingestion], int | None]
    ) -> NextBatch | Version[Ingestion]:
        """Read an ingestion and the IDs of the batch that `choose` takes; the ingestion alone if it takes none.

        A second read is needed where the batch lies in another chunk of the IDs. Raises `NotFound`.
        """
        stored = await self._get(ingestion_id, (*rows.INGESTION, rows.ids_property(self._chunk)))
        ingestion = rows.decode_ingestion(stored.entity)
        version = self._remember(Version(value=ingestion, etag=stored.etag))
        index = choose(ingestion)
        if index is None:
            return version
        entity, chunk = stored.entity, rows.chunk_of(ingestion, index)
        if chunk != self._chunk:
            self._chunk = chunk
            entity = (await self._get(ingestion_id, (rows.ids_property(chunk),))).entity
        return NextBatch(version=version, index=index, ids=rows.decode_batch(entity, ingestion, index))

    async def change(
        self,
        ingestion_id: UUID,
        change: Change,
        *,
        is_own: Callable[[Ingestion, Ingestion], bool] = Ingestion.__eq__,
        known: Version[Ingestion] | None = None,
    ) -> Version[Ingestion] | None:
        """Change an ingestion row; None if `change` returns None for its present state. Raises `NotFound`."""

        async def recognise(present: Ingestion, written: Ingestion) -> bool:
            return is_own(present, written)

        async def write(after: Ingestion, etag: str) -> str:
            return await self._table.merge(rows.encode_state(after), etag=etag)

        return await self._change(ingestion_id, change, write, recognise, known)

    async def end_batch(self, ingestion_id: UUID, change: Change, record: BatchRecord) -> Version[Ingestion] | None:
        """Write the batch's record and change the ingestion: both or neither. None if `change` returns None.

        The record's token shows whether this call has written it, even if others changed the ingestion since. Raises
        `NotFound`.
        """

        async def write(after: Ingestion, etag: str) -> str:
            put = rows.encode_record(ingestion_id, record)
            return await self._table.put_and_merge(put, rows.encode_state(after), etag=etag)

        async def recognise(present: Ingestion, _: Ingestion) -> bool:
            return present.flight(record.index) is None and await self._has_record(ingestion_id, record)

        return await self._change(ingestion_id, change, write, recognise, None)

    async def records(self, ingestion_id: UUID, first: int, limit: int) -> list[BatchRecord]:
        """The records, without results, of those of the `limit` batches from `first` on that have ended."""
        entities = self._batch_rows(ingestion_id, first, limit, rows.RECORD)
        return [rows.decode_record(entity) async for entity in entities]

    async def results(self, ingestion_id: UUID, first: int, limit: int, *, enough_bytes: int) -> list[BatchRecord]:
        """The same records with results, up to the record with which the results reach `enough_bytes`.

        The sizes are read first, because a thousand rows of results are too much for memory and for one call.
        """
        sizes = self._batch_rows(ingestion_id, first, limit, (rows.RESULT_SIZE, "PartitionKey", "RowKey"))
        ended = [(rows.batch_index(entity), rows.result_size(entity)) async for entity in sizes]
        if not ended:
            return []
        totals = list(accumulate(size for _, size in ended))
        place_of_last = min(bisect_left(totals, enough_bytes), len(ended) - 1)
        last = ended[place_of_last][0]
        return [
            rows.decode_record(entity) async for entity in self._batch_rows(ingestion_id, first, last - first + 1, ())
        ]

    async def open_in_first_format(self) -> AsyncIterator[Ingestion | UnreadableRow]:
        """The open ingestions that nobody has written since the upgrade. This reads the whole table."""
        async for stored in self._table.query({"unfinished": True}, select=(*rows.INGESTION, "RowKey")):
            try:
                ingestion = rows.decode_ingestion(stored.entity)
            except UnreadableRow as error:
                yield error
                continue
            if stored.entity["RowKey"] == str(ingestion.ingestion_id) and not ingestion.has_ended:
                yield ingestion

    async def delete_batches(self, ingestion_id: UUID) -> bool:
        """Delete up to a hundred batch rows. Returns whether there may be more."""
        entities = self._batch_rows(ingestion_id, 0, 10**8 - 1, ("RowKey",), page_size=100)
        keys = []
        async for entity in entities:
            keys.append(str(entity["RowKey"]))
            if len(keys) == 100:
                break
        if keys:
            await self._table.delete_many(str(ingestion_id), keys)
        return len(keys) == 100

    async def delete(self, version: Version[Ingestion]) -> None:
        """Delete an ingestion row that has not changed. Raises `NotFound`, `Changed`."""
        name = str(version.value.ingestion_id)
        self._latest.pop(version.value.ingestion_id, None)
        await self._table.delete(name, name, etag=version.etag)

    async def _change(
        self,
        ingestion_id: UUID,
        change: Change,
        write: Callable[[Ingestion, str], Awaitable[str]],
        recognise: Callable[[Ingestion, Ingestion], Awaitable[bool]],
        known: Version[Ingestion] | None,
    ) -> Version[Ingestion] | None:
        writer = self._writers.setdefault(ingestion_id, asyncio.Lock())
        async with writer:
            written = await write_change(
                change,
                read=lambda: self.read(ingestion_id),
                write=write,
                is_own=recognise,
                known=self._latest.get(ingestion_id, known),
            )
        return self._remember(written) if written else None

    async def _has_record(self, ingestion_id: UUID, record: BatchRecord) -> bool:
        try:
            stored = await self._table.get(str(ingestion_id), rows.batch_row_key(record.index), select=rows.RECORD)
        except NotFound:
            return False
        return rows.decode_record(stored.entity).token == record.token

    async def _get(self, ingestion_id: UUID, select: Sequence[str]) -> Stored:
        return await self._table.get(str(ingestion_id), str(ingestion_id), select=select)

    def _remember(self, version: Version[Ingestion]) -> Version[Ingestion]:
        self._latest[version.value.ingestion_id] = version
        self._latest.move_to_end(version.value.ingestion_id)
        while len(self._latest) > REMEMBERED_VERSIONS:
            self._latest.popitem(last=False)
        return version

    async def _batch_rows(
        self, ingestion_id: UUID, first: int, limit: int, select: Sequence[str], *, page_size: int = 1000
    ) -> AsyncIterator[Entity]:
        row_keys = (rows.batch_row_key(first), rows.batch_row_key(first + limit))
        partition: Entity = {"PartitionKey": str(ingestion_id)}
        page_size = max(1, min(limit, page_size))
        async for stored in self._table.query(partition, row_keys=row_keys, select=select, page_size=page_size):
            yield stored.entity
