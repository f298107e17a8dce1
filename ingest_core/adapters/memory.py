"""Storage in memory, with the semantics of Azure Storage that the service relies on; it ends with the process.

Every call awaits its client's `before` hook, takes effect at once and whole, then awaits `after`: between two effects a
test may let time pass, a process die, a call fail or an answer get lost.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import count

from ingest_core.errors import AlreadyExists, Changed, NotFound
from ingest_core.models import Priority
from ingest_core.ports import Entity, EntityValue, Message, Received, Stored

PEEKED = 32
VISIBILITY = timedelta(seconds=2)

Hook = Callable[[str], Awaitable[None]]
Key = tuple[str, str]


async def no_hook(call: str) -> None:
    """Let the call pass."""


@dataclass
class _Waiting:
    message: Message
    visible_at: datetime
    turn: int
    pop_receipt: str = ""


@dataclass(kw_only=True)
class Account:
    """What a storage account holds. `now` is the storage service's own clock."""

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
        found = self._find((partition_key, row_key))
        await self.after("table.get")
        return _selected(found, select)

    async def merge(self, entity: Entity, *, etag: str) -> str:
        await self.before("table.merge")
        new_etag = self._merge(entity, etag)
        await self.after("table.merge")
        return new_etag

    async def put_and_merge(self, put: Entity, merged: Entity, *, etag: str) -> None:
        await self.before("table.put_and_merge")
        self._merge(merged, etag)
        self._store(put)
        await self.after("table.put_and_merge")

    async def query(
        self,
        equal: Entity,
        *,
        row_keys: tuple[str, str] | None = None,
        select: Sequence[str] = (),
        page_size: int = 1000,
    ) -> AsyncIterator[Stored]:
        await self.before("table.query")
        found = [
            stored
            for key, stored in sorted(self._rows.items())
            if all(stored.entity.get(name) == value for name, value in equal.items())
            and (row_keys is None or row_keys[0] <= key[1] < row_keys[1])
        ]
        await self.after("table.query")
        for number, stored in enumerate(found, start=1):
            yield _selected(stored, select)
            if number % page_size == 0:
                await self.before("table.query")
                await self.after("table.query")

    @property
    def _rows(self) -> dict[Key, Stored]:
        return self.account.table(self.name)

    def _find(self, key: Key) -> Stored:
        if key not in self._rows:
            raise NotFound(f"{self.name} has no {key}")
        return self._rows[key]

    def _merge(self, entity: Entity, etag: str) -> str:
        found = self._find(_key(entity))
        if found.etag != etag:
            raise Changed(f"{self.name} {_key(entity)} was written since it was read")
        return self._store({**found.entity, **entity})

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
        found = [waiting.message for waiting in self._visible()[:PEEKED]]
        await self.after("queue.peek")
        return found

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
        self._waiting.remove(self._held(message))
        await self.after("queue.delete")

    async def release(self, message: Received) -> None:
        await self.before("queue.release")
        self._move(self._held(message), self.account.now())
        await self.after("queue.release")

    @property
    def _waiting(self) -> list[_Waiting]:
        return self.account.queue(self.name)

    async def _put(self, name: str, text: str) -> None:
        await self.before("queue.put")
        now = self.account.now()
        serial = next(self.account.serial)
        message = Message(message_id=f"m{serial}", text=text, inserted_on=now.replace(microsecond=0))
        self.account.queue(name).append(_Waiting(message, now, serial))
        await self.after("queue.put")

    def _visible(self) -> list[_Waiting]:
        now = self.account.now()
        visible = (waiting for waiting in self._waiting if waiting.visible_at <= now)
        return sorted(visible, key=lambda waiting: (waiting.visible_at, waiting.turn))

    def _move(self, waiting: _Waiting, visible_at: datetime) -> None:
        waiting.visible_at = visible_at
        waiting.turn = next(self.account.serial)
        waiting.pop_receipt = f"r{waiting.turn}"

    def _held(self, message: Received) -> _Waiting:
        for waiting in self._waiting:
            if waiting.pop_receipt == message.pop_receipt:
                return waiting
        raise NotFound(f"{self.name} has no message with this pop receipt")


class MemoryStorage:
    """One process's client of an account; clients of one account see the same data."""

    def __init__(self, account: Account, *, before: Hook = no_hook, after: Hook = no_hook) -> None:
        self.ingestions = MemoryTable(account=account, name="ingestions", before=before, after=after)
        self.dispatch = MemoryTable(account=account, name="dispatch", before=before, after=after)
        self.lanes: Mapping[Priority, MemoryQueue] = {
            lane: MemoryQueue(account=account, name=f"ingest-{lane.lower()}", before=before, after=after)
            for lane in Priority
        }

    async def close(self) -> None:
        """Nothing to let go of."""


def _key(entity: Entity) -> Key:
    return str(entity["PartitionKey"]), str(entity["RowKey"])


def _selected(stored: Stored, select: Sequence[str]) -> Stored:
    if not select:
        return stored
    entity: dict[str, EntityValue] = {name: stored.entity[name] for name in select if name in stored.entity}
    return replace(stored, entity=entity)
