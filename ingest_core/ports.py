"""What the service needs from the world; adapters provide it.

Storage is asked for in storage's own terms (entities with ETags, messages with pop receipts), so that the layout and
the protocol live once, above, and an adapter only translates calls and errors.

Every storage method raises `StorageUnavailable` when its outcome is unknown or nothing was done.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from ingest_core.models import Priority

EntityValue = str | int | float | bool | bytes
Entity = Mapping[str, EntityValue]


@dataclass(frozen=True, kw_only=True)
class Stored:
    """An entity as storage holds it: its properties (keys included), its version, and when that was written."""

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
    """One table. Keys are the entity's `PartitionKey` and `RowKey`."""

    async def insert(self, entity: Entity) -> str:
        """Insert and return the ETag. Raises `AlreadyExists`."""
        ...

    async def get(self, partition_key: str, row_key: str, *, select: Sequence[str] = ()) -> Stored:
        """Read one entity, all properties or the `select`ed ones. Raises `NotFound`."""
        ...

    async def merge(self, entity: Entity, *, etag: str) -> str:
        """Change the given properties if the ETag still holds; return the new one. Raises `Changed`, `NotFound`."""
        ...

    async def put_and_merge(self, put: Entity, merged: Entity, *, etag: str) -> None:
        """Write `put` whole and change `merged` if its ETag still holds: both or neither (entity group transaction).

        Raises `Changed`, `NotFound`.
        """
        ...

    def query(
        self,
        equal: Entity,
        *,
        row_keys: tuple[str, str] | None = None,
        select: Sequence[str] = (),
        page_size: int = 1000,
    ) -> AsyncIterator[Stored]:
        """Entities with these property values, RowKey from the first of `row_keys` up to but not the second, by key."""
        ...


class Queue(Protocol):
    """One lane's queue and its poison queue."""

    async def put(self, text: str) -> None:
        """Add a message at the back that never expires."""
        ...

    async def peek(self) -> Sequence[Message]:
        """The front messages, at most 32, without any effect on them."""
        ...

    async def receive(self) -> Received | None:
        """Take the front message out of sight for a few seconds."""
        ...

    async def delete(self, message: Received) -> None:
        """Delete a received message. Raises `NotFound` when somebody else has received it since."""
        ...

    async def release(self, message: Received) -> None:
        """Make a received message visible at once; it goes to the back. Raises `NotFound`."""
        ...

    async def put_poison(self, text: str) -> None:
        """Add a message to the lane's poison queue."""
        ...


class Storage(Protocol):
    """The tables and queues of one storage account, created when first used."""

    @property
    def ingestions(self) -> Table:
        """Ingestion rows and batch rows."""
        ...

    @property
    def dispatch(self) -> Table:
        """The rate gate's row."""
        ...

    @property
    def lanes(self) -> Mapping[Priority, Queue]:
        """A queue for each priority."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


class Source(Protocol):
    """The external API."""

    async def fetch(self, item_id: int) -> str:
        """Fetch one ID and return its JSON as compact ASCII text without line breaks.

        Raises `ItemRejected`, `AttemptFailed` or `SourceUnavailable`, never anything else; the message is one
        printable line. The caller sets the time limit and cancels.
        """
        ...

    async def close(self) -> None:
        """Let go of connections."""
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
        """Return after about this long."""
        ...
