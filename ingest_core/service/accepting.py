"""Accepting a list: the ingestion row first, then its message and its backlog row at the same time.

After a crash in between there is a row without a message, which a repeat with the same key completes; there is never a
message without a row. A row is never deleted as clean-up, as a caller with the same key may have got a `202` for it.
"""

import asyncio
import logging
from collections.abc import Awaitable, Sequence
from dataclasses import replace
from uuid import UUID

from ingest_core.errors import AlreadyExists, KeyReused
from ingest_core.models import Ingestion, IngestRequest
from ingest_core.ports import Clock
from ingest_core.storage.stores import Stores

log = logging.getLogger(__name__)


class Accepting:
    """Writes what an accepted list needs. Every method raises `StorageUnavailable`."""

    def __init__(self, stores: Stores, *, clock: Clock, batch_size: int) -> None:
        self._ingestions = stores.ingestions
        self._lanes = stores.lanes
        self._backlog = stores.backlog
        self._clock = clock
        self._batch_size = batch_size

    async def accept(self, ingestion_id: UUID, request: IngestRequest) -> None:
        """Store a list and queue it: three storage calls in two round trips, however many IDs.

        If the ingestion exists already, write what is missing. Raises `KeyReused` if it has other values.
        """
        if not await self._insert(ingestion_id, request, retry_of=None):
            version, _ = await self._ingestions.read_whole(ingestion_id)  # raises if the IDs are unreadable
            existing = version.value
            if existing.digest != request.digest:
                raise KeyReused(f"ingestion {ingestion_id} was accepted with other values")
            await self._complete(existing)

    async def accept_retry(self, ingestion_id: UUID, request: IngestRequest, *, retry_of: UUID) -> None:
        """Store and queue a retry. If its ID exists already, it is the same retry, so write what is missing."""
        if not await self._insert(ingestion_id, request, retry_of=retry_of):
            await self._complete((await self._ingestions.read(ingestion_id)).value)

    async def complete_move(self, ingestion: Ingestion) -> None:
        """Finish a change of priority: the backlog row, the message in the new lane, and `is_queued`.

        Every step may be repeated, and none overwrites what a younger change of priority has written.
        """
        await self._backlog.update(ingestion)
        await self._lanes.put(ingestion.priority, ingestion.ingestion_id, ingestion.generation)

        def queued(present: Ingestion) -> Ingestion | None:
            is_present = present.generation == ingestion.generation and not present.is_queued
            return replace(present, is_queued=True) if is_present else None

        await self._ingestions.change(ingestion.ingestion_id, queued)

    async def _insert(self, ingestion_id: UUID, request: IngestRequest, *, retry_of: UUID | None) -> bool:
        """Write the row, then the rest; false if the row is there already."""
        now = self._clock.now()
        ingestion = Ingestion(
            ingestion_id=ingestion_id,
            priority=request.priority,
            created_at=now,
            queued_at=now,
            id_count=len(request.ids),
            batch_size=self._batch_size,
            digest=request.digest,
            label=request.label,
            retry_of=retry_of,
        )
        try:
            await self._ingestions.insert(ingestion, request.ids)
        except AlreadyExists:
            return False
        await _both(self._lanes.put(request.priority, ingestion_id), self._backlog.insert(ingestion))
        log.info("ingestion.accepted ingestion_id=%s lane=%s ids=%d", ingestion_id, request.priority, len(request.ids))
        return True

    async def _complete(self, existing: Ingestion) -> None:
        """See that an ingestion has its message and its backlog row: the process that stored it may have died."""
        if not existing.has_ended:
            await _both(self._see_to_message(existing), self._backlog.insert(existing))

    async def _see_to_message(self, existing: Ingestion) -> None:
        if existing.cancel_requested_at:
            return
        if not existing.is_queued:
            await self.complete_move(existing)
            return
        # It was dispatched or moved, or a message was put again, so its queue has one. Another would only have to be
        # swept away.
        if existing.started_batches or existing.generation or existing.queued_at != existing.created_at:
            return
        await self._lanes.put(existing.priority, existing.ingestion_id, existing.generation)

        def queued_again(present: Ingestion) -> Ingestion | None:
            is_untouched = present.started_batches == 0 and present.queued_at == existing.queued_at
            return replace(present, queued_at=self._clock.now()) if is_untouched else None

        await self._ingestions.change(existing.ingestion_id, queued_again)


async def _both(first: Awaitable[object], second: Awaitable[object]) -> None:
    """Await both at the same time, to their ends. Raises what either has raised."""
    outcomes: Sequence[object] = await asyncio.gather(first, second, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
