"""Writes rows of ended ingestions and batches, several transactions at a time."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime, timedelta
from itertools import cycle
from uuid import UUID, uuid4

from azure.core.exceptions import ServiceRequestError, ServiceResponseError
from azure.data.tables.aio import TableClient

from bench.bodies import ids_of
from bench.service import Service
from ingest_core.models import BatchRecord, Ingestion, Item, Priority, Status
from ingest_core.ports import Entity
from ingest_core.storage import rows
from ingest_core.storage.azure import AzureStorage
from ingest_core.storage.history import encode_closed

DAYS = cycle(range(28))
"""Ended ingestions are spread over days, as they would be: the history has a partition for each day."""

AT_ONCE = 8
ROWS_AT_ONCE = 100


async def many(count: int, work: Callable[[], Awaitable[None]]) -> None:
    """Call `work` `count` times, up to `AT_ONCE` at once."""
    remaining = iter(range(count))

    async def worker() -> None:
        for _ in remaining:
            await work()

    await asyncio.gather(*(worker() for _ in range(AT_ONCE)))


async def add_finished(service: Service, count: int = ROWS_AT_ONCE, *, is_whole: bool = True) -> None:
    """Add some ended ingestions of three IDs: each has a row in the history and, if whole, its row and a batch row."""
    closed: list[Entity] = []
    at = datetime.now(UTC) - timedelta(days=next(DAYS))
    for _ in range(count):
        ended = _ended(at)
        if is_whole:
            row = {**rows.encode_ingestion(ended), **rows.encode_ids(ids_of(3), 3)}
            await _create(service.storage, [row, _batch_row(ended.ingestion_id)])
        closed.append(encode_closed(ended))
    await service.storage.create()
    await _submit(service.storage.history.client, closed)


def _ended(at: datetime) -> Ingestion:
    return Ingestion(
        ingestion_id=uuid4(),
        priority=Priority.LOW,
        created_at=at,
        queued_at=at,
        id_count=3,
        batch_size=3,
        digest="0" * 64,
        started_batches=1,
        ended_at=at,
    )


async def add_batch_rows(storage: AzureStorage) -> None:
    """Add a hundred batch rows of one ingestion."""
    ingestion_id = uuid4()
    await _create(storage, [_batch_row(ingestion_id, index) for index in range(ROWS_AT_ONCE)])


def _batch_row(ingestion_id: UUID, index: int = 0) -> Entity:
    now = datetime.now(UTC)
    items = [Item(item_id=item_id, data=f'{{"id":{item_id},"simulated":true}}') for item_id in ids_of(3)]
    record = BatchRecord(
        index=index, status=Status.COMPLETED, attempts=1, triggered_at=now, completed_at=now, items=items
    )
    return rows.encode_record(ingestion_id, record)


async def _create(storage: AzureStorage, entities: list[Entity]) -> None:
    await storage.create()  # the SDK's client is called directly, because this may take longer than the service waits
    await _submit(storage.ingestions.client, entities)


async def _submit(client: TableClient, entities: Iterable[Entity]) -> None:
    """Write in one transaction. After Azurite has saved for seconds, it resets the idle connections, so try again."""
    operations = [("upsert", entity) for entity in entities]
    for pause in (0.1, 0.5, 1, 2, 4, 8, 0):
        try:
            await client.submit_transaction(operations)
        except (ServiceRequestError, ServiceResponseError):
            if not pause:
                raise
            await asyncio.sleep(pause)
        else:
            return
