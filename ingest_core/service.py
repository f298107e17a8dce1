"""What callers may ask for: accept a list, see how it stands, read what was fetched, try again what failed.

`202` is sent only after the ingestion row and then its message are durable: a crash in between leaves a row that
`recovery` finds, never a message without a row. A row is never deleted as clean-up, as a caller with the same
idempotency key may hold a `202` for it.
"""

import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from uuid import UUID, uuid4, uuid5

from ingest_core import views
from ingest_core.batching import batches
from ingest_core.contract import IngestRequest
from ingest_core.errors import AlreadyExists, Changed, NotFound, Problem
from ingest_core.ingestions import Ingestions
from ingest_core.lanes import Lanes
from ingest_core.models import Ingestion
from ingest_core.ports import Clock

log = logging.getLogger(__name__)

KEYS = UUID("6f0f4a0e-3f0c-5b0e-9f5a-3c1d8a0b7e21")
"""The UUIDv5 namespace of ingestion IDs that are derived: from an idempotency key, or from a retried ingestion."""

MAX_RESULT_BYTES = 2 * 1024 * 1024
"""A page of results ends after the batch that reaches this size: an answer is held in memory whole."""


@dataclass(frozen=True, kw_only=True)
class Page:
    """Which batches are asked for: at most `limit` of them, from the index `cursor` on."""

    cursor: int
    limit: int


@dataclass(frozen=True, kw_only=True)
class Paged:
    """One page of lines (JSON texts), and where the next one begins, if there is more now."""

    lines: Sequence[str]
    next_cursor: int | None


class Service:
    """The use cases behind the HTTP contract. Every method raises `StorageUnavailable`."""

    def __init__(self, *, ingestions: Ingestions, lanes: Lanes, clock: Clock, batch_size: int) -> None:
        self._ingestions = ingestions
        self._lanes = lanes
        self._clock = clock
        self._batch_size = batch_size

    async def accept(self, request: IngestRequest, *, idempotency_key: str | None = None) -> UUID:
        """Store the request and queue it: two storage calls, however many IDs. Raises `Problem` 409.

        The same key with the same values gives the same ID and no second ingestion.
        """
        ingestion_id = uuid5(KEYS, f"key:{idempotency_key}") if idempotency_key else uuid4()
        await self._accept(ingestion_id, request)
        return ingestion_id

    async def status(self, ingestion_id: str) -> str:
        """The ingestion and all its batches as JSON: one point read. Raises `Problem` 404."""
        ingestion, ids = await self._find_whole(ingestion_id)
        return views.status_text(ingestion, ids)

    async def batches(self, ingestion_id: str, page: Page) -> Paged:
        """A page of the batches' records. Raises `Problem` 404."""
        ingestion, ids = await self._find_whole(ingestion_id)
        first, end = page.cursor, min(page.cursor + page.limit, ingestion.batch_count)
        count = min(end, ingestion.finished_batches) - first
        found = await self._ingestions.records(ingestion.ingestion_id, first, count) if count > 0 else []
        records = {record.index: record for record in found}
        lines = [views.batch_text(ingestion, index, ids, records.get(index)) for index in range(first, end)]
        return Paged(lines=lines, next_cursor=end if end < ingestion.batch_count else None)

    async def results(self, ingestion_id: str, page: Page) -> Paged:
        """What was fetched, a line per ID, for the batches that have ended so far. Raises `Problem` 404."""
        ingestion = await self._find(ingestion_id)
        count = min(page.limit, ingestion.finished_batches - page.cursor)
        if count <= 0:
            return Paged(lines=[], next_cursor=None)
        records = await self._ingestions.results(
            ingestion.ingestion_id, page.cursor, count, enough_bytes=MAX_RESULT_BYTES
        )
        following = records[-1].index + 1 if records else ingestion.finished_batches
        return Paged(
            lines=[views.result_text(item) for record in records for item in record.items],
            next_cursor=following if following < ingestion.finished_batches else None,
        )

    async def retry(self, ingestion_id: str) -> UUID:
        """Accept the IDs of an ended ingestion's failed batches as a new ingestion, always the same one.

        Raises `Problem` 404, or 409 when there is nothing to try again.
        """
        ingestion, ids = await self._find_whole(ingestion_id)
        if not ingestion.finished:
            raise Problem(409, "Ingestion has not ended", "Wait until its status is completed or failed.")
        failed = [
            item_id
            for index, batch in enumerate(batches(ids, ingestion.batch_size))
            if ingestion.batch_failed(index)
            for item_id in batch
        ]
        if not failed:
            raise Problem(409, "Nothing to retry", "No batch of this ingestion has failed.")
        retry_id = uuid5(KEYS, f"retry:{ingestion.ingestion_id}")
        request = IngestRequest(ids=failed, priority=ingestion.priority)
        await self._accept(retry_id, request, retry_of=ingestion.ingestion_id)
        return retry_id

    async def _accept(self, ingestion_id: UUID, request: IngestRequest, *, retry_of: UUID | None = None) -> None:
        now = self._clock.now()
        ingestion = Ingestion(
            ingestion_id=ingestion_id,
            priority=request.priority,
            created_at=now,
            queued_at=now,
            id_count=len(request.ids),
            batch_size=self._batch_size,
            digest=request.digest,
            retry_of=retry_of,
        )
        # Row before message: a crash here leaves no message that stands for nothing.
        try:
            await self._ingestions.insert(ingestion, request.ids)
        except AlreadyExists:
            await self._accept_again(ingestion)
            return
        await self._lanes.put(request.priority, ingestion_id)
        log.info("ingestion.accepted ingestion_id=%s lane=%s ids=%d", ingestion_id, request.priority, len(request.ids))

    async def _accept_again(self, ingestion: Ingestion) -> None:
        """See that a row that was there already has its message: its first caller may have died before the put."""
        existing, etag = await self._ingestions.read_version(ingestion.ingestion_id)
        if existing.digest != ingestion.digest:
            raise Problem(
                409,
                "Idempotency-Key was used for another request",
                "Send the same ids and priority as the first time, or a new key.",
            )
        # It was dispatched, or a message was put again, so one is in its queue; a third would have to be swept away.
        if existing.slot or existing.queued_at != existing.created_at:
            return
        await self._lanes.put(existing.priority, existing.ingestion_id)
        with suppress(Changed):  # dispatched, or noted, meanwhile
            await self._ingestions.queued_again(replace(existing, queued_at=self._clock.now()), etag=etag)

    async def _find(self, ingestion_id: str) -> Ingestion:
        try:
            return await self._ingestions.read(_parse(ingestion_id))
        except NotFound:
            raise _unknown() from None

    async def _find_whole(self, ingestion_id: str) -> tuple[Ingestion, Sequence[int]]:
        try:
            return await self._ingestions.read_whole(_parse(ingestion_id))
        except NotFound:
            raise _unknown() from None


def _parse(ingestion_id: str) -> UUID:
    """Only the form that we hand out: `UUID()` would take braces and more."""
    try:
        parsed = UUID(ingestion_id)
    except ValueError:
        raise _unknown() from None
    if str(parsed) != ingestion_id.lower():
        raise _unknown()
    return parsed


def _unknown() -> Problem:
    return Problem(404, "Unknown ingestion", "No ingestion has this ID; use the ingestion_id of a 202 answer.")
