"""Rows of ingestions and batches that are over, written a few transactions at a time."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from uuid import UUID, uuid4

from bench.bodies import ids_of
from ingest_core import rows
from ingest_core.adapters.azure import AzureStorage
from ingest_core.models import BatchRecord, Ingestion, Item, Priority, Status
from ingest_core.ports import Entity

AT_ONCE = 8
ROWS_AT_ONCE = 100


async def many(count: int, work: Callable[[], Awaitable[None]]) -> None:
    """Do something so many times, a few at once."""
    remaining = iter(range(count))

    async def worker() -> None:
        for _ in remaining:
            await work()

    await asyncio.gather(*(worker() for _ in range(AT_ONCE)))


async def add_finished(storage: AzureStorage) -> None:
    """An ingestion of three IDs that has finished: its row and its batch row."""
    now = datetime.now(UTC)
    one = Ingestion(
        ingestion_id=uuid4(),
        priority=Priority.LOW,
        created_at=now,
        queued_at=now,
        id_count=3,
        batch_size=3,
        digest="0" * 64,
        slot=1,
        finished_batches=1,
    )
    await _create(
        storage, [{**rows.encode_ingestion(one), **rows.encode_ids(ids_of(3), 3)}, _batch_row(one.ingestion_id)]
    )


async def add_batch_rows(storage: AzureStorage) -> None:
    """A hundred batch rows of one ingestion."""
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
    async with storage.call():
        pass  # the table exists now; what follows may take longer than the service would wait
    await storage.ingestions.client.submit_transaction([("create", entity) for entity in entities])
