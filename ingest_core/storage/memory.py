"""Storage in memory, with the semantics of Azure Storage that the service relies on; it ends with the process.

Every call awaits its client's `before` hook, takes effect at once and whole, then awaits `after`. So between two
effects, a test can let time pass, stop a process, make a call fail, or lose an answer.
"""

from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import count
from operator import itemgetter

from ingest_core.errors import AlreadyExists, Changed, NotFound
from ingest_core.models import Priority
from ingest_core.ports import PEEKED, Entity, EntityValue, Message, Received, Stored

VISIBILITY = timedelta(seconds=2)

Hook = Callable[[str], Awaitable[None]]
Key = tuple[str, str]


async def no_hook(call: str) -> None:
    """Let the call pass."""


@dataclass
class _Waiting:
    message: Message
    visible_at: datetime
    order: int
    pop_receipt: str = ""


@dataclass(kw_only=True)
class Account:
    """The contents of a storage account. `now` is the storage service's own clock."""

    now: Callable[[], datetime]
    tables: dict[str, dict[Key, Stored]] = field(default_factory=dict)
    queues: dict[str, list[_Waiting]] = field(default_factory=dict)
    serial: Iterator[int] = field(default_factory=lambda: count(1))

    def table(self, name: str) -> dict[Key, Stored]:
        """The entities of one table."""
        return self.tables.setdefault(name, {})

    def queue(self, name: str) -> list[_Waiting]:
        """The messages of one queue."""
        return self.queues.setdefault(name, [])

    def texts(self, name: str) -> list[str]:
        """The texts in one queue, hidden messages included."""
        return [waiting.message.text for waiting in self.queue(name)]

    def put(self, name: str, text: str) -> None:
        """Add a message at the back of one queue."""
        now = self.now()
        serial = next(self.serial)
        message = Message(message_id=f"m{serial}", text=text, inserted_on=now.replace(microsecond=0))
        self.queue(name).append(_Waiting(message, now, serial))


@dataclass(frozen=True, kw_only=True)
class _Client:
    account: Account
    name: str
    before: Hook
    after: Hook


class MemoryTable(_Client):
    """One table."""

    async def insert(self, entity: Entity) -> str:
        await self.before("table.insert")
        if _key(entity) in self._rows:
            raise AlreadyExists(f"{self.name} has {_key(entity)}")
        etag = self._store(entity)
        await self.after("table.insert")
        return etag

    async def get(self, partition_key: str, row_key: str, *, select: Sequence[str] = ()) -> Stored:
        await self.before("table.get")
        stored = self._find((partition_key, row_key))
        await self.after("table.get")
        return _selected(stored, select)

    async def merge(self, entity: Entity, *, etag: str | None) -> str:
        await self.before("table.merge")
        new_etag = self._merge(entity, etag)
        await self.after("table.merge")
        return new_etag

    async def replace(self, entity: Entity, *, etag: str | None = None) -> str:
        await self.before("table.replace")
        if etag is not None:
            self._find(_key(entity), etag)
        new_etag = self._store(entity)
        await self.after("table.replace")
        return new_etag

    async def put_and_merge(self, put: Entity, merged: Entity, *, etag: str) -> str:
        await self.before("table.put_and_merge")
        new_etag = self._merge(merged, etag)
        self._store(put)
        await self.after("table.put_and_merge")
        return new_etag

    async def delete(self, partition_key: str, row_key: str, *, etag: str | None = None) -> None:
        await self.before("table.delete")
        self._find((partition_key, row_key), etag)
        del self._rows[partition_key, row_key]
        await self.after("table.delete")

    async def delete_many(self, partition_key: str, row_keys: Sequence[str]) -> None:
        if not row_keys:
            return
        await self.before("table.delete_many")
        for row_key in row_keys:
            self._rows.pop((partition_key, row_key), None)
        await self.after("table.delete_many")

    async def query(
        self,
        equal: Entity,
        *,
        row_keys: tuple[str, str] | None = None,
        partition_keys: tuple[str, str] | None = None,
        select: Sequence[str] = (),
        page_size: int = 1000,
    ) -> AsyncIterator[Stored]:
        last: Key | None = None
        while True:
            await self.before("table.query")
            matching = [
                (key, stored)
                for key, stored in self._rows.items()
                if (last is None or key > last)
                and _in_range(key[0], partition_keys)
                and _in_range(key[1], row_keys)
                and all(stored.entity.get(name) == value for name, value in equal.items())
            ]
            page = sorted(matching, key=itemgetter(0))[:page_size]
            await self.after("table.query")
            for _, stored in page:
                yield _selected(stored, select)
            if len(page) < page_size:
                return
            last = page[-1][0]

    @property
    def _rows(self) -> dict[Key, Stored]:
        return self.account.table(self.name)

    def _find(self, key: Key, etag: str | None = None) -> Stored:
        stored = self._rows.get(key)
        if stored is None:
            raise NotFound(f"{self.name} has no {key}")
        if etag not in (None, stored.etag):
            raise Changed(f"{self.name} {key} was written since it was read")
        return stored

    def _merge(self, entity: Entity, etag: str | None) -> str:
        stored = self._find(_key(entity), etag)
        return self._store({**stored.entity, **entity})

    def _store(self, entity: Entity) -> str:
        etag = f"v{next(self.account.serial)}"
        self._rows[_key(entity)] = Stored(entity=dict(entity), etag=etag, written_at=self.account.now())
        return etag


class MemoryQueue(_Client):
    """One lane's queue and its poison queue."""

    async def put(self, text: str) -> None:
        await self._put(self.name, text)

    async def put_poison(self, text: str) -> None:
        await self._put(f"{self.name}-poison", text)

    async def peek(self) -> Sequence[Message]:
        await self.before("queue.peek")
        messages = [waiting.message for waiting in self._visible()[:PEEKED]]
        await self.after("queue.peek")
        return messages

    async def receive(self) -> Received | None:
        await self.before("queue.receive")
        received = None
        if visible := self._visible():
            front = visible[0]
            self._move(front, self.account.now() + VISIBILITY)
            received = Received(
                message_id=front.message.message_id,
                text=front.message.text,
                inserted_on=front.message.inserted_on,
                pop_receipt=front.pop_receipt,
            )
        await self.after("queue.receive")
        return received

    async def delete(self, message: Received) -> None:
        await self.before("queue.delete")
        self._waiting.remove(self._received(message))
        await self.after("queue.delete")

    async def release(self, message: Received) -> None:
        await self.before("queue.release")
        self._move(self._received(message), self.account.now())
        await self.after("queue.release")

    async def count(self) -> int:
        """Return how many messages the queue has, hidden ones included."""
        await self.before("queue.count")
        number = len(self._waiting)
        await self.after("queue.count")
        return number

    async def poison_count(self) -> int:
        await self.before("queue.poison_count")
        number = len(self.account.queue(f"{self.name}-poison"))
        await self.after("queue.poison_count")
        return number

    async def poison_texts(self) -> list[str]:
        """Return the texts of the front messages of the poison queue, at most `PEEKED`."""
        await self.before("queue.poison_texts")
        texts = self.account.texts(f"{self.name}-poison")[:PEEKED]
        await self.after("queue.poison_texts")
        return texts

    @property
    def _waiting(self) -> list[_Waiting]:
        return self.account.queue(self.name)

    async def _put(self, name: str, text: str) -> None:
        await self.before("queue.put")
        self.account.put(name, text)
        await self.after("queue.put")

    def _visible(self) -> list[_Waiting]:
        now = self.account.now()
        visible = (waiting for waiting in self._waiting if waiting.visible_at <= now)
        return sorted(visible, key=lambda waiting: (waiting.visible_at, waiting.order))

    def _move(self, waiting: _Waiting, visible_at: datetime) -> None:
        waiting.visible_at = visible_at
        waiting.order = next(self.account.serial)
        waiting.pop_receipt = f"r{waiting.order}"

    def _received(self, message: Received) -> _Waiting:
        for waiting in self._waiting:
            if waiting.pop_receipt == message.pop_receipt:
                return waiting
        raise NotFound(f"{self.name} has no message with this pop receipt")


class MemoryStorage:
    """One process's client of an account; clients of one account see the same data."""

    def __init__(
        self, account: Account, *, before: Hook = no_hook, after: Hook = no_hook, ended_queue: str = ""
    ) -> None:
        self._account = account
        self._before = before
        self._after = after
        self._ended_queue = ended_queue
        self.denied_calls: Sequence[str] = ()
        self.ingestions = self._table("ingestions")
        self.dispatch = self._table("dispatch")
        self.backlog = self._table("backlog")
        self.history = self._table("history")
        self.lanes: Mapping[Priority, MemoryQueue] = {
            lane: MemoryQueue(account=account, name=f"ingest-{lane.lower()}", before=before, after=after)
            for lane in Priority
        }

    async def put_event(self, text: str) -> None:
        if not self._ended_queue:
            return
        await self._before("storage.put_event")
        self._account.put(self._ended_queue, b64encode(text.encode()).decode())
        await self._after("storage.put_event")

    async def events(self) -> list[str]:
        """Return the texts of the front messages of the queue of ended events, at most `PEEKED`."""
        texts = self._account.texts(self._ended_queue)[:PEEKED] if self._ended_queue else []
        return [b64decode(text, validate=True).decode() for text in texts]

    async def close(self) -> None:
        """Do nothing: there are no connections."""

    def _table(self, name: str) -> MemoryTable:
        return MemoryTable(account=self._account, name=name, before=self._before, after=self._after)


def _in_range(key: str, keys: tuple[str, str] | None) -> bool:
    return keys is None or keys[0] <= key < keys[1]


def _key(entity: Entity) -> Key:
    return str(entity["PartitionKey"]), str(entity["RowKey"])


def _selected(stored: Stored, select: Sequence[str]) -> Stored:
    if not select:
        return stored
    entity: dict[str, EntityValue] = {name: stored.entity[name] for name in select if name in stored.entity}
    return replace(stored, entity=entity)
