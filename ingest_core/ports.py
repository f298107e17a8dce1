"""The interfaces of storage, of the external API and of time. Adapters implement them.

The storage ports speak of entities with ETags and of messages with pop receipts. So layout and protocol are written
once, above the ports, and an adapter only translates calls and errors.

Every storage method raises `StorageUnavailable` if it failed, or if it is unknown whether it took effect.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from ingest_core.errors import SourceError
from ingest_core.models import Priority

Answer = str | SourceError
"""The result of fetching one ID: its JSON as compact printable ASCII, or the error."""

EntityValue = str | int | float | bool | bytes
Entity = Mapping[str, EntityValue]


CALL_SECONDS = 4.0
"""A storage call takes effect within this time or not at all: adapters end it then, and leases allow for it."""

PEEKED = 32
"""The most messages that a peek shows."""

RESULT_BYTES = 700 * 1024
"""The limit for the results of one batch together. A row may have 1 MiB, counted as base64, which adds a third."""


@dataclass(frozen=True, kw_only=True)
class Stored:
    """An entity as it is stored: its properties, its version, and the time of the last write on storage's own clock."""

    entity: Entity
    etag: str
    written_at: datetime


@dataclass(frozen=True, kw_only=True)
class Message:
    """A message as a peek shows it. `inserted_on` comes from the queue service's clock, in whole seconds."""

    message_id: str
    text: str
    inserted_on: datetime


@dataclass(frozen=True, kw_only=True)
class Received(Message):
    """A message that is hidden from others until its visibility timeout ends."""

    pop_receipt: str


class Table(Protocol):
    """One table. The key of an entity is its `PartitionKey` and `RowKey`."""

    async def insert(self, entity: Entity) -> str:
        """Insert a row and return its ETag. Raises `AlreadyExists`."""
        ...

    async def get(self, partition_key: str, row_key: str, *, select: Sequence[str] = ()) -> Stored:
        """Read one row, all properties or the `select`ed ones. Raises `NotFound`."""
        ...

    async def merge(self, entity: Entity, *, etag: str | None) -> str:
        """Change the properties in `entity`, keep the others, and return the row's new ETag.

        With an ETag, the row changes only if it still has that ETag. With None, any version of the row changes.
        Raises `Changed`, or `NotFound` if there is no such row.
        """
        ...

    async def replace(self, entity: Entity, *, etag: str | None = None) -> str:
        """Write a whole row and return its new ETag.

        With an ETag, the row is replaced only if it still has that ETag; otherwise `Changed` or `NotFound` is raised.
        Without an ETag, the row is written whether or not it exists.
        """
        ...

    async def put_and_merge(self, put: Entity, merged: Entity, *, etag: str) -> str:
        """Write the whole row `put` and merge `merged`, both or neither, if the row of `merged` still has this ETag.

        Both rows are in one partition (an entity group transaction). Returns the new ETag of the merged row. Raises
        `Changed` or `NotFound`.
        """
        ...

    async def delete(self, partition_key: str, row_key: str, *, etag: str | None = None) -> None:
        """Delete a row. Raises `NotFound`, or `Changed` if the row no longer has this ETag."""
        ...

    async def delete_many(self, partition_key: str, row_keys: Sequence[str]) -> None:
        """Delete at most 100 rows of one partition in one transaction. A row that does not exist is no error."""
        ...

    def query(
        self,
        equal: Entity,
        *,
        row_keys: tuple[str, str] | None = None,
        partition_keys: tuple[str, str] | None = None,
        select: Sequence[str] = (),
        page_size: int = 1000,
    ) -> AsyncIterator[Stored]:
        """Rows whose properties have the values in `equal`, in order of PartitionKey, then RowKey.

        The keys are at least the first of the pair and less than the second. Each page of `page_size` rows is one
        storage call, which is made when its first row is needed. So a caller that stops early saves calls.
        """
        ...


class Queue(Protocol):
    """One lane's queue and its poison queue."""

    async def put(self, text: str) -> None:
        """Add a message at the back that never expires."""
        ...

    async def peek(self) -> Sequence[Message]:
        """Return the front messages, at most `PEEKED`, without any effect on them."""
        ...

    async def receive(self) -> Received | None:
        """Hide the front message from others for a few seconds and return it. None if no message is visible."""
        ...

    async def delete(self, message: Received) -> None:
        """Delete a received message. Raises `NotFound` if it was deleted, or received again, since."""
        ...

    async def release(self, message: Received) -> None:
        """Make a received message visible at once; it goes to the back. Raises `NotFound`."""
        ...

    async def put_poison(self, text: str) -> None:
        """Add a message that never expires to the lane's poison queue."""
        ...

    async def poison_count(self) -> int:
        """Return the approximate number of messages in the lane's poison queue."""
        ...


class Storage(Protocol):
    """The tables and queues of one storage account, created when first used."""

    @property
    def ingestions(self) -> Table:
        """Ingestion rows and batch rows."""
        ...

    @property
    def dispatch(self) -> Table:
        """The gate's row, including the pauses that people have set."""
        ...

    @property
    def backlog(self) -> Table:
        """A row for each ingestion that is not closed."""
        ...

    @property
    def history(self) -> Table:
        """A row for each ingestion that is closed."""
        ...

    @property
    def denied_calls(self) -> Sequence[str]:
        """The calls that storage does not permit, as the messages of `StorageDenied` name them."""
        ...

    @property
    def lanes(self) -> Mapping[Priority, Queue]:
        """A queue for each priority."""
        ...

    async def put_event(self, text: str) -> None:
        """Add a message to the queue of ended events, in Base64 as queue triggers expect it; it never expires.

        Does nothing if the storage was made without the name of such a queue.
        """
        ...

    async def close(self) -> None:
        """Close all connections."""
        ...


class Source(Protocol):
    """The external API."""

    async def fetch_batch(self, ids: Sequence[int], *, timeout_seconds: float) -> Sequence[Answer]:
        """Fetch these IDs at the same time and return one answer for each, in the order of `ids`.

        An ID that is in `ids` twice has two answers. An answer is the ID's JSON as compact printable ASCII on one line,
        or an error: `ItemRejected`, `AttemptFailed` or `SourceUnavailable`, with one printable line as its message. An
        ID that has no answer after `timeout_seconds` gets `AttemptFailed`; earlier answers are kept. Raises nothing
        except `CancelledError`, if the caller is cancelled.
        """
        ...

    async def close(self) -> None:
        """Close all connections. A later fetch opens new ones."""
        ...


class Clock(Protocol):
    """Time, as a port, so that tests can replace it."""

    def monotonic(self) -> float:
        """Seconds that never go back. Only differences have a meaning."""
        ...

    def now(self) -> datetime:
        """The wall clock in UTC. It decides only when a pause ends, what retention deletes, and what people see."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after this many seconds, never earlier."""
        ...
