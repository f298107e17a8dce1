"""Storage on Azure Tables and Queues (or Azurite): the only place that knows their clients and their errors."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import aiohttp
from azure.core import MatchConditions
from azure.core.exceptions import AzureError, HttpResponseError
from azure.data.tables import TableEntity, UpdateMode
from azure.data.tables.aio import TableClient, TableServiceClient
from azure.storage.queue.aio import QueueClient, QueueServiceClient

from ingest_core.adapters.azure_connection import Connect, connect, usable
from ingest_core.errors import AlreadyExists, Changed, NotFound, StorageError, StorageUnavailable
from ingest_core.models import Priority
from ingest_core.ports import Entity, Message, Received, Stored
from ingest_core.slots import LONGEST_CALL_SECONDS

CALL_SECONDS = LONGEST_CALL_SECONDS
"""A storage call that takes longer counts as failed, its retries included."""

QUERY_SECONDS = 10.0
"""A page of a query may take longer: the service looks for five seconds before it answers with what it has found
(https://learn.microsoft.com/rest/api/storageservices/query-timeout-and-pagination)."""

QUEUE_API_VERSION = "2025-11-05"
"""The newest that Azurite 3.35 accepts without being told to skip the check."""

VISIBILITY_SECONDS = 2
"""A received message is deleted or released at once; should its holder die, it is not out of sight for long."""

PEEKED = 32

_NOT_THERE = ("ResourceNotFound", "EntityNotFound", "MessageNotFound")
"""The storage service's own words. A gateway's 404 says nothing of a row, whose message must not be thrown out."""

_NO_ECHO = {"Prefer": "return-no-content"}
"""An insert is answered with the whole entity otherwise: for 100 000 IDs, half of its time."""


class AzureStorage:
    """The service's tables and queues in one account; created when first used, and again should they vanish.

    Raises `ValueError` for what is not a connection string.
    """

    def __init__(self, connection_string: str, *, transport: Connect = connect) -> None:
        connection_string = usable(connection_string)
        self._tables = TableServiceClient.from_connection_string(
            connection_string, transport=transport(), retry_total=2, retry_backoff_factor=0.1
        )
        self._queues = QueueServiceClient.from_connection_string(
            connection_string,
            api_version=QUEUE_API_VERSION,
            transport=transport(),
            retry_total=2,
            initial_backoff=0,
            increment_base=0,
            random_jitter_range=0,
        )
        self._created = False
        self._creating = asyncio.Lock()
        self.ingestions = AzureTable(self, self._tables.get_table_client("ingestions"))
        self.dispatch = AzureTable(self, self._tables.get_table_client("dispatch"))
        self.lanes: Mapping[Priority, AzureQueue] = {
            lane: AzureQueue(
                self,
                self._queues.get_queue_client(f"ingest-{lane.lower()}"),
                self._queues.get_queue_client(f"ingest-{lane.lower()}-poison"),
            )
            for lane in Priority
        }

    async def close(self) -> None:
        """Close all connections."""
        await self._tables.close()
        await self._queues.close()

    @asynccontextmanager
    async def call(self, seconds: float = CALL_SECONDS) -> AsyncIterator[None]:
        """The surroundings of every storage call: what it uses exists, it ends in time, and its errors are ours."""
        try:
            async with asyncio.timeout(seconds):
                if not self._created:
                    await self._create()
                yield
        except HttpResponseError as error:
            raise self._translated(error) from error
        except TimeoutError as error:
            raise StorageUnavailable(f"storage did not answer within {seconds:g} s") from error
        except (AzureError, aiohttp.ClientError, OSError) as error:
            raise StorageUnavailable(f"storage cannot be reached: {_one_line(error)}") from error
        except Exception as error:
            # What the clients make of an answer that is none of storage's, a gateway's page for example.
            raise StorageUnavailable(f"storage's answer cannot be read ({type(error).__name__})") from error

    async def _create(self) -> None:
        async with self._creating:
            if self._created:
                return
            tables = [table.client.create_table() for table in (self.ingestions, self.dispatch)]
            queues = [client.create_queue() for lane in self.lanes.values() for client in lane.clients]
            for outcome in await asyncio.gather(*tables, *queues, return_exceptions=True):
                if isinstance(outcome, BaseException) and not _exists(outcome):
                    raise outcome
            self._created = True

    def _translated(self, error: HttpResponseError) -> StorageError:
        """The error codes are at different places for different calls, but always in the text."""
        code = f"{getattr(error, 'error_code', '')} {error}"
        if any(name in code for name in ("TableNotFound", "QueueNotFound")):
            self._created = False
            return StorageUnavailable("a table or queue is missing; the next call creates it")
        match error.status_code:
            case 404 if any(name in code for name in _NOT_THERE):
                return NotFound(_one_line(error))
            case 409 if "EntityAlreadyExists" in code:
                return AlreadyExists(_one_line(error))
            case 412:
                return Changed(_one_line(error))
            case 400 if "PopReceiptMismatch" in code:
                return NotFound(_one_line(error))
            case status:
                return StorageUnavailable(f"storage answered {status}: {_one_line(error)}")


class AzureTable:
    """One table."""

    def __init__(self, storage: AzureStorage, client: TableClient) -> None:
        self._storage = storage
        self.client = client

    async def insert(self, entity: Entity) -> str:
        async with self._storage.call():
            answer = await self.client.create_entity(entity, headers=_NO_ECHO)
        return str(answer["etag"])

    async def get(self, partition_key: str, row_key: str, *, select: Sequence[str] = ()) -> Stored:
        async with self._storage.call():
            entity = await self.client.get_entity(partition_key, row_key, select=_with_timestamp(select))
        return _stored(entity)

    async def merge(self, entity: Entity, *, etag: str) -> str:
        async with self._storage.call():
            answer = await self.client.update_entity(
                entity, UpdateMode.MERGE, etag=etag, match_condition=MatchConditions.IfNotModified
            )
        return str(answer["etag"])

    async def put_and_merge(self, put: Entity, merged: Entity, *, etag: str) -> None:
        condition = {"mode": UpdateMode.MERGE, "etag": etag, "match_condition": MatchConditions.IfNotModified}
        async with self._storage.call():
            await self.client.submit_transaction(
                [("upsert", put, {"mode": UpdateMode.REPLACE}), ("update", merged, condition)]
            )

    async def query(
        self,
        equal: Entity,
        *,
        row_keys: tuple[str, str] | None = None,
        select: Sequence[str] = (),
        page_size: int = 1000,
    ) -> AsyncIterator[Stored]:
        conditions = [f"{name} eq {_literal(value)}" for name, value in equal.items()]
        if row_keys:
            conditions += [f"RowKey ge {_literal(row_keys[0])}", f"RowKey lt {_literal(row_keys[1])}"]
        pages = self.client.query_entities(
            " and ".join(conditions), select=_with_timestamp(select), results_per_page=page_size
        ).by_page()
        while True:
            async with self._storage.call(QUERY_SECONDS):
                try:
                    page = await anext(pages)
                except StopAsyncIteration:
                    return
                entities = [entity async for entity in page]
            for entity in entities:
                yield _stored(entity)


class AzureQueue:
    """One lane's queue and its poison queue."""

    def __init__(self, storage: AzureStorage, client: QueueClient, poison: QueueClient) -> None:
        self._storage = storage
        self._client = client
        self._poison = poison
        self.clients = (client, poison)

    async def put(self, text: str) -> None:
        async with self._storage.call():
            await self._client.send_message(text, time_to_live=-1)

    async def put_poison(self, text: str) -> None:
        async with self._storage.call():
            await self._poison.send_message(text, time_to_live=-1)

    async def peek(self) -> Sequence[Message]:
        async with self._storage.call():
            messages = await self._client.peek_messages(max_messages=PEEKED)
        return [
            Message(message_id=message.id, text=message.content, inserted_on=_utc(message.inserted_on))
            for message in messages
        ]

    async def receive(self) -> Received | None:
        # Sent once: where the answer is lost, a second try would receive, and so displace, the message behind.
        async with self._storage.call():
            message = await self._client.receive_message(visibility_timeout=VISIBILITY_SECONDS, retry_total=0)
        if message is None:
            return None
        return Received(
            message_id=message.id,
            text=message.content,
            inserted_on=_utc(message.inserted_on),
            pop_receipt=message.pop_receipt or "",
        )

    async def delete(self, message: Received) -> None:
        async with self._storage.call():
            await self._client.delete_message(message.message_id, message.pop_receipt)

    async def release(self, message: Received) -> None:
        async with self._storage.call():
            await self._client.update_message(message.message_id, message.pop_receipt, visibility_timeout=0)


def _exists(error: BaseException) -> bool:
    return isinstance(error, HttpResponseError) and error.status_code in (204, 409)


def _with_timestamp(select: Sequence[str]) -> list[str] | None:
    return [*select, "Timestamp"] if select else None


def _stored(entity: TableEntity) -> Stored:
    written_at = entity.metadata["timestamp"] or datetime.now(UTC)
    return Stored(entity=entity, etag=str(entity.metadata["etag"]), written_at=written_at)


def _utc(moment: datetime | None) -> datetime:
    return moment or datetime.now(UTC)


def _literal(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "'{}'".format(str(value).replace("'", "''"))


def _one_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
