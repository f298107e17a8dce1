"""Storage on Azure Tables and Queues (or Azurite). Only this package knows their clients and errors."""

from base64 import b64decode, b64encode
from collections.abc import Sequence
from functools import partial

from azure.core.credentials import AzureNamedKeyCredential, AzureSasCredential
from azure.data.tables.aio import TableServiceClient
from azure.storage.queue.aio import QueueServiceClient

from ingest_core.models import Priority
from ingest_core.ports import PEEKED
from ingest_core.storage.azure_calls import Calls
from ingest_core.storage.azure_queue import NEVER, AzureQueue
from ingest_core.storage.azure_table import AzureTable
from ingest_core.storage.connection import SETTING, Connection, read_connection
from ingest_core.storage.connection_string import Sas, SharedKey
from ingest_core.storage.identity_settings import Identity
from ingest_core.storage.tokens import Tokens
from ingest_core.storage.transport import Connect, connect, named_in_full

QUEUE_API_VERSION = "2025-11-05"
"""The newest version that Azurite 3.35 accepts without its option to skip the check."""


class AzureStorage:
    """The service's tables and queues in one account, created when first used and again if they vanish.

    With `create=False` they are expected to exist, until a call finds one missing. `connection` may also be the text of
    a connection string. Raises `InvalidSettings` if the text is wrong.
    """

    def __init__(
        self,
        connection: Connection | str,
        *,
        transport: Connect | None = None,
        ended_queue: str = "",
        create: bool = True,
    ) -> None:
        if isinstance(connection, str):
            connection = read_connection({SETTING: connection})
        transport = transport or partial(connect, connection.proxies)
        self._credential = _credential(connection.credential, transport)
        self._tables = TableServiceClient(
            named_in_full(connection.table_url),
            credential=self._credential,
            transport=transport(),
            retry_total=2,
            retry_backoff_factor=0.1,
        )
        self._queues = QueueServiceClient(
            connection.queue_url,
            credential=self._credential,
            api_version=QUEUE_API_VERSION,
            transport=transport(),
            retry_total=2,
            initial_backoff=0,
            increment_base=0,
            random_jitter_range=0,
        )
        tables = {
            name: self._tables.get_table_client(name) for name in ("ingestions", "dispatch", "backlog", "history")
        }
        queue_names = [f"ingest-{lane.lower()}{suffix}" for lane in Priority for suffix in ("", "-poison")]
        queues = {name: self._queues.get_queue_client(name) for name in queue_names}
        self._calls = Calls(
            {
                **{f"table {name}": client.create_table for name, client in tables.items()},
                **{f"queue {name}": client.create_queue for name, client in queues.items()},
            },
            created=not create,
        )
        self.ingestions = AzureTable(self._calls, tables["ingestions"])
        self.dispatch = AzureTable(self._calls, tables["dispatch"])
        self.backlog = AzureTable(self._calls, tables["backlog"])
        self.history = AzureTable(self._calls, tables["history"])
        self.lanes = {
            lane: AzureQueue(self._calls, queues[f"ingest-{lane.lower()}"], queues[f"ingest-{lane.lower()}-poison"])
            for lane in Priority
        }
        self._ended = self._queues.get_queue_client(ended_queue) if ended_queue else None
        # Separate, so that nothing else waits while this queue cannot be created.
        self._event_calls = Calls(
            {f"queue {ended_queue}": self._ended.create_queue} if self._ended else {}, created=not create
        )

    async def create(self) -> None:
        """Create the tables and queues now if they do not exist."""
        async with self._calls.call("create the tables and queues"):
            pass

    @property
    def denied_calls(self) -> Sequence[str]:
        return [*self._calls.denied_calls(), *self._event_calls.denied_calls()]

    async def put_event(self, text: str) -> None:
        if self._ended is None:
            return
        async with self._event_calls.call(f"put a message into the queue {self._ended.queue_name}"):
            await self._ended.send_message(b64encode(text.encode()).decode(), time_to_live=NEVER)

    async def events(self) -> list[str]:
        """Return the texts of the front messages of the queue of ended events, at most `PEEKED`."""
        if self._ended is None:
            return []
        async with self._event_calls.call(f"read the queue {self._ended.queue_name}"):
            messages = await self._ended.peek_messages(max_messages=PEEKED)
        return [b64decode(message.content, validate=True).decode() for message in messages]

    async def close(self) -> None:
        await self._tables.close()
        await self._queues.close()
        if isinstance(self._credential, Tokens):
            await self._credential.close()


def _credential(
    credential: SharedKey | Sas | Identity, transport: Connect
) -> AzureNamedKeyCredential | AzureSasCredential | Tokens:
    """What the clients take as `credential`."""
    match credential:
        case SharedKey():
            return AzureNamedKeyCredential(credential.account, credential.key)
        case Sas():
            return AzureSasCredential(credential.token)
        case Identity():
            return Tokens(credential, transport=transport)
