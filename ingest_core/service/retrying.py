"""Retries: the IDs that have neither data nor a final error, as a new ingestion.

The retries of a list form a chain. The ID of a retry is derived from the first ingestion's ID and the retry's number,
and the first ingestion's row counts the retries. So repeats and races make only one retry. A request for any member of
the chain retries the last member.
"""

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from uuid import UUID, uuid5

from ingest_core.errors import NotEnded, NotFound, NothingToRetry
from ingest_core.models import BatchRecord, Ingestion, IngestRequest, Status
from ingest_core.service.accepting import Accepting
from ingest_core.storage.stores import Stores

KEYS = UUID("6f0f4a0e-3f0c-5b0e-9f5a-3c1d8a0b7e21")
"""The UUIDv5 namespace of ingestion IDs that are derived: from an idempotency key, or from a retried ingestion."""

_READ_TOGETHER = 1000
_READ_BYTES = 4 * 1024 * 1024
_NEAR = 16
"""Failed batches that are at most this far apart are read in one query, with the completed batches between them."""


class Retrying:
    """Finds what is left of an ended ingestion and accepts it again. Every method raises `StorageUnavailable`."""

    def __init__(self, stores: Stores, *, accepting: Accepting) -> None:
        self._ingestions = stores.ingestions
        self._accepting = accepting

    async def retry(self, member: Ingestion) -> Ingestion:
        """Return a new retry, or the last retry if it has not ended or nothing is left to fetch.

        If there is no retry yet, raises `NotEnded` or `NothingToRetry` instead. Raises `UnreadableRow`.
        """
        root = await self._root(member)
        last = await self._last(root)
        if not last.has_ended:
            if last is root:
                raise NotEnded(f"ingestion {root.ingestion_id} is {root.status}")
            return last
        ids = await self._ids_left(last)
        if not ids:
            if last is root:
                raise NothingToRetry(f"every ID of ingestion {root.ingestion_id} has its data or a final error")
            return last
        return await self._start(root, last, ids)

    async def _start(self, root: Ingestion, last: Ingestion, ids: list[int]) -> Ingestion:
        """Accept the next retry, then count it: after a crash in between, a repeat finds the same retry."""
        number = root.retries + 1
        new_id = retry_id(root.ingestion_id, number)
        request = IngestRequest(ids=ids, priority=last.priority, label=last.label)
        await self._accepting.accept_retry(new_id, request, retry_of=root.ingestion_id)

        def counted(present: Ingestion) -> Ingestion | None:
            return replace(present, retries=number) if present.retries < number else None

        await self._ingestions.change(root.ingestion_id, counted)
        return await self._read(new_id)

    async def _root(self, member: Ingestion) -> Ingestion:
        """The first ingestion of the chain. If it was deleted, a new chain begins with `member`."""
        if member.retry_of is None:
            return member
        try:
            return await self._read(member.retry_of)
        except NotFound:
            return member

    async def _last(self, root: Ingestion) -> Ingestion:
        """The last ingestion of the chain. If it does not exist, the first one is retried."""
        if not root.retries:
            return root
        try:
            return await self._read(retry_id(root.ingestion_id, root.retries))
        except NotFound:
            return root

    async def _read(self, ingestion_id: UUID) -> Ingestion:
        return (await self._ingestions.read(ingestion_id)).value

    async def _ids_left(self, ended: Ingestion) -> list[int]:
        """The IDs of failed and cancelled batches that have neither data nor a final error, in the list's order."""
        version, ids = await self._ingestions.read_whole(ended.ingestion_id)
        ingestion, size = version.value, version.value.batch_size
        left = {index: ids[index * size : (index + 1) * size] for index in _without_end(ingestion)}
        for first, end in _spans([index for index in left if index < ingestion.started_batches]):
            async for record in self._records(ingestion.ingestion_id, first, end):
                if record.index in left and record.items:
                    left[record.index] = [item.item_id for item in record.items if item.error and not item.is_final]
        return [item_id for batch in left.values() for item_id in batch]

    async def _records(self, ingestion_id: UUID, first: int, end: int) -> AsyncIterator[BatchRecord]:
        """The records of the batches from `first` up to `end`, with their results."""
        while first < end:
            limit = min(_READ_TOGETHER, end - first)
            records = await self._ingestions.results(ingestion_id, first, limit, enough_bytes=_READ_BYTES)
            for record in records:
                yield record
            first = records[-1].index + 1 if records else first + limit


def retry_id(root: UUID, number: int) -> UUID:
    """The ID of an ingestion's first, second … retry."""
    return uuid5(KEYS, f"retry:{root}" if number == 1 else f"retry:{root}:{number}")


def _without_end(ingestion: Ingestion) -> list[int]:
    """The batches that have failed or were cancelled."""
    ends = (Status.FAILED, Status.CANCELLED)
    return [index for index in range(ingestion.batch_count) if ingestion.batch_status(index) in ends]


def _spans(indices: list[int]) -> Iterator[tuple[int, int]]:
    """Ranges, each from its first index up to but not including its second, that cover sorted indices."""
    start = end = None
    for index in indices:
        if start is None or end is None:
            start = index
        elif index - end > _NEAR:
            yield start, end
            start = index
        end = index + 1
    if start is not None and end is not None:
        yield start, end
