"""A list is accepted as the service accepts it: the row, then message and backlog row in parallel."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from uuid import uuid4

from ingest_core.errors import AlreadyExists
from ingest_core.models import Ingestion, IngestRequest, Priority
from ingest_core.storage.stores import Stores


def new_ingestion(ids: Sequence[int], lane: Priority, *, at: datetime) -> Ingestion:
    """What a POST asks for."""
    request = IngestRequest(ids=ids, priority=lane)
    return Ingestion(
        ingestion_id=uuid4(),
        priority=lane,
        created_at=at,
        queued_at=at,
        id_count=len(ids),
        batch_size=3,
        digest=request.digest,
    )


async def accept(stores: Stores, ingestion: Ingestion, ids: Sequence[int]) -> None:
    """Accept it, or complete what an earlier try has left. Raises `StorageUnavailable`."""
    with suppress(AlreadyExists):
        await stores.ingestions.insert(ingestion, ids)
    if (await stores.ingestions.read(ingestion.ingestion_id)).value.has_ended:
        return
    await asyncio.gather(stores.lanes.put(ingestion.priority, ingestion.ingestion_id), stores.backlog.insert(ingestion))
