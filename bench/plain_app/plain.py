"""The plain design: one row and one message for each batch. It is the first idea that people have, written with care.

Rows are written in entity group transactions of 100. Messages are sent sixteen at a time, so they arrive in any order
and the order of the batches is lost. To send them in order would take longer.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

from azure.core.exceptions import ResourceExistsError
from azure.data.tables.aio import TableServiceClient
from azure.storage.queue.aio import QueueServiceClient

from ingest_core.storage.azure import QUEUE_API_VERSION
from ingest_core.storage.transport import Connect, connect

BATCH_SIZE = 3
ROWS_AT_ONCE = 100
MESSAGES_AT_ONCE = 16
PRIORITIES = ("HIGH", "MEDIUM", "LOW")


class Unknown(Exception):
    """No ingestion has this ID."""


class PlainDesign:
    """Accepts lists, shows them and processes their batches, with one storage account."""

    def __init__(self, connection_string: str, *, transport: Connect = connect) -> None:
        self._tables = TableServiceClient.from_connection_string(connection_string, transport=transport())
        self._queues = QueueServiceClient.from_connection_string(
            connection_string, transport=transport(), api_version=QUEUE_API_VERSION
        )
        self._table = self._tables.get_table_client("batches")
        self._lanes = {name: self._queues.get_queue_client(f"batches-{name.lower()}") for name in PRIORITIES}

    async def create(self) -> None:
        """Create the table and the queues."""
        for making in (self._table.create_table(), *(lane.create_queue() for lane in self._lanes.values())):
            try:
                await making
            except ResourceExistsError:
                continue

    async def close(self) -> None:
        """Close all connections."""
        await self._tables.close()
        await self._queues.close()

    async def accept(self, ids: list[int], priority: str) -> str:
        """Write a row and then a message for each batch."""
        ingestion_id = str(uuid4())
        rows = [
            {
                "PartitionKey": ingestion_id,
                "RowKey": f"{start // BATCH_SIZE:08d}",
                "batch_id": str(uuid4()),
                "ids": json.dumps(ids[start : start + BATCH_SIZE]),
                "status": "yet_to_start",
            }
            for start in range(0, len(ids), BATCH_SIZE)
        ]
        for start in range(0, len(rows), ROWS_AT_ONCE):
            await self._table.submit_transaction([("create", row) for row in rows[start : start + ROWS_AT_ONCE]])
        remaining = iter(rows)

        async def send() -> None:
            for row in remaining:
                message = json.dumps({"ingestion_id": ingestion_id, "row": row["RowKey"]})
                await self._lanes[priority].send_message(message, time_to_live=-1)

        await asyncio.gather(*(send() for _ in range(MESSAGES_AT_ONCE)))
        return ingestion_id

    async def status(self, ingestion_id: str) -> dict[str, Any]:
        """Read all rows. Raises `Unknown`."""
        batches = [
            {"batch_id": row["batch_id"], "ids": json.loads(row["ids"]), "status": row["status"]}
            async for row in self._rows(ingestion_id)
        ]
        if not batches:
            raise Unknown(ingestion_id)
        states = {batch["status"] for batch in batches}
        whole = states.pop() if len(states) == 1 else "triggered"
        return {"ingestion_id": ingestion_id, "status": whole, "batches": batches}

    async def dispatch(self, *, delay_seconds: float = 0.1) -> bool:
        """Process one batch of the highest priority; False if there is none."""
        for lane in self._lanes.values():
            message = await lane.receive_message(visibility_timeout=30)
            if message is None:
                continue
            keys = json.loads(message.content)
            row = {"PartitionKey": keys["ingestion_id"], "RowKey": keys["row"]}
            await self._table.update_entity({**row, "status": "triggered"})
            await asyncio.sleep(delay_seconds)  # the API would be called here
            await self._table.update_entity({**row, "status": "completed"})
            await lane.delete_message(message)
            return True
        return False

    def _rows(self, ingestion_id: str) -> AsyncIterator[Any]:
        return self._table.query_entities("PartitionKey eq @id", parameters={"id": ingestion_id})
