"""What the service needs from the world; adapters provide it.

Storage is asked for in storage's own terms (entities with ETags, messages with pop receipts), so that the layout and
the protocol live once, above, and an adapter only translates calls and errors.

Every storage method raises `StorageUnavailable` when its outcome is unknown or nothing was done.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from ingest_core.errors import SourceError
from ingest_core.models import Priority

RESULT_BYTES = 700 * 1024
"""What the results of one batch may take together: a storage entity holds 1 MiB, counted as it is sent, in base64."""

Answer = str | SourceError
"""What the fetch of one ID ended with: its JSON as compact printable ASCII, or the error."""

EntityValue = str | int | float | bool | bytes
Entity = Mapping[str, EntityValue]


CALL_SECONDS = 4.0
"""A storage call takes effect within this time, or counts as lost: adapters end it, and leases allow for it."""

PEEKED = 32
"""The most messages that a peek shows."""

RESULT_BYTES = 700 * 1024
"""The most that a batch row holds of its IDs' data: a row takes 1 MiB, and binary data grows by a third on its way."""


@dataclass(frozen=True, kw_only=True)
class Stored:
    """An entity as storage holds it: its properties, its version, and when storage wrote it, by storage's own clock."""

    entity: Entity
    etag: str
    written_at: datetime


@dataclass(frozen=True, kw_only=True)
class Message:
    """A message as a peek shows it. `inserted_on` is stamped by the queue service and has whole seconds."""

    message_id: str
    text: str
    inserted_on: datetime


@dataclass(frozen=True, kw_only=True)
class Received(Message):
    """A message that is hidden from others until its visibility timeout runs out."""

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

        With an ETag, the row changes only if it still has that ETag. With None, it changes whatever its version is.
        Raises `Changed` or, where there is no such row, `NotFound`.
        """
        ...

    async def replace(self, entity: Entity, *, etag: str | None = None) -> str:
        """Write a whole row and return its new ETag.

        With an ETag, the row is replaced only if it still has that ETag. Raises `Changed` or `NotFound` then. Without
        one, the row is written whether or not it exists.
        """
        ...

    async def put_and_merge(self, put: Entity, merged: Entity, *, etag: str) -> str:
        """Write the whole row `put` and merge `merged` if that one still has this ETag: both or neither.

        Both rows are in one partition (this is an entity group transaction). Returns the new ETag of the merged row.
        Raises `Changed` or `NotFound`.
        """
        ...

    async def delete(self, partition_key: str, row_key: str, *, etag: str | None = None) -> None:
        """Delete a row. Raises `NotFound` or, if the row no longer has the given ETag, `Changed`."""
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

        The keys range from the first of the pair up to, but not including, the second. Each page of `page_size` rows
        is one storage call, made when its first row is asked for: stop early to save calls.
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
        """Hide the front message from others for a few seconds and return it."""
        ...

    async def delete(self, message: Received) -> None:
        """Delete a received message. Raises `NotFound` when somebody else has received it since."""
        ...

    async def release(self, message: Received) -> None:
        """Make a received message visible at once; it goes to the back. Raises `NotFound`."""
        ...

    async def put_poison(self, text: str) -> None:
        """Add a message that never expires to the lane's poison queue."""
        ...

    async def poisoned(self) -> int:
        """Return about how many messages the lane's poison queue has."""
        ...


class Storage(Protocol):
    """The tables and queues of one storage account, created when first used."""

    @property
    def ingestions(self) -> Table:
        """Ingestion rows and batch rows."""
        ...

    @property
    def dispatch(self) -> Table:
        """The gate's row, and what people have set."""
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
    def lanes(self) -> Mapping[Priority, Queue]:
        """A queue for each priority."""
        ...

    async def put_event(self, text: str) -> None:
        """Add a message to the queue of ended events, in Base64 as queue triggers expect it; it never expires.

        Does nothing if the storage was made without the name of such a queue.
        """
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


class Source(Protocol):
    """The external API."""

    async def fetch_batch(self, ids: Sequence[int], *, timeout_seconds: float) -> Sequence[Answer]:
        """Fetch these IDs at the same time and return one answer for each, in the order of `ids`.

        An ID that stands in `ids` twice has two answers. An answer is the ID's JSON as compact printable ASCII on one
        line, or the error that its fetch ended with: `ItemRejected`, `AttemptFailed` or `SourceUnavailable`, whose
        message is one printable line. An ID that has no answer after `timeout_seconds` gets `AttemptFailed`; answers
        that came earlier are kept. Raises nothing, except `CancelledError` when the caller is cancelled.
        """
        ...

    async def close(self) -> None:
        """Let go of connections; a later fetch opens new ones."""
        ...


class Clock(Protocol):
    """Time, so that tests can own it."""

    def monotonic(self) -> float:
        """Seconds that never go back; only differences mean anything."""
        ...

    def now(self) -> datetime:
        """The wall clock in UTC, for information only: nothing is decided by it."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after this long, never earlier."""
        ...
