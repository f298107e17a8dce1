"""What lies between a process and its storage: time, faults, and a referee who sees every effect.

It wraps the ports, so the storage behind it may be in memory or real. Effects happen one at a time, in an order that
everybody agrees on.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import Enum
from random import Random
from typing import Any

from ingest_core.errors import StorageError, StorageUnavailable
from ingest_core.models import Priority
from ingest_core.ports import Entity, Message, Queue, Received, Storage, Stored, Table
from tests.support.referee import Entry, Referee, Run
from tests.support.virtual_time import HostClock

CALL_SECONDS = 4.0
"""A caller waits this long, as the Azure adapter does."""

RUN: ContextVar[Run | None] = ContextVar("run", default=None)
"""The tick on whose behalf a call is made; what it starts (fetches) inherits it."""

POST: ContextVar[Entry | None] = ContextVar("post", default=None)
"""The POST on whose behalf a call is made."""


class Died(BaseException):
    """The process is no more: nothing of it runs on, `except Exception` and `finally` included."""


class Fault(Enum):
    """What may happen to a storage call."""

    REFUSED = "it fails without effect"
    ANSWER_LOST = "it takes effect and fails"
    STALLED = "it takes effect late, but the caller still waits"
    FROZEN = "the process stands still before it sends the call"
    FROZEN_AFTER = "the process stands still before it sees the answer"
    LATE = "the caller gives up, and then it takes effect"
    DIES_BEFORE = "the process dies instead of calling"
    DIES_AFTER = "the process dies when the call has taken effect"


@dataclass
class Disk:
    """One storage account as all processes share it: effects happen one at a time.

    Calls to a storage in memory are `instant`; real ones take real time, in which virtual time stands still.
    """

    referee: Referee
    instant: bool
    late: set[asyncio.Task[Any]] = field(default_factory=set)
    effect: asyncio.Lock = field(default_factory=asyncio.Lock)
    hidden: bool = False  # a message was received, and perhaps neither deleted nor released


class Wire:
    """One process's way to its storage."""

    def __init__(self, disk: Disk, clock: HostClock, random: Random, *, on_death: Callable[[], None]) -> None:
        self.disk = disk
        self.dead = False
        self.calls = 0
        self.fault_rate = 0.0  # of all calls, beside what is armed
        self._clock = clock
        self._random = random
        self._on_death = on_death
        self._armed: dict[int | str, tuple[Fault, float]] = {}

    def arm(self, fault: Fault, *, calls: int = 0, name: str = "", seconds: float = 0.0) -> None:
        """Let something happen to the next call of that name, or to the call after so many more."""
        self._armed[name or self.calls + calls + 1] = (fault, seconds)

    def disarm(self) -> None:
        """Let nothing happen from now on."""
        self._armed.clear()
        self.fault_rate = 0.0

    async def call(self, name: str, effect: Callable[[], Awaitable[Any]]) -> Any:  # noqa: ANN401 # as the effect's
        """Make a call, as well as it goes."""
        if self.dead:
            raise Died
        self.calls += 1
        if name != "peek" and (run := RUN.get()):
            run.looking = False
        fault, seconds = self._next(name)
        await self._sent(fault, seconds, effect, removes=name in ("receive", "delete", "release"))
        error: StorageError | None = None
        answer = None
        try:
            answer = await self._effect(effect)
        except StorageError as raised:
            error = raised
        if fault is Fault.DIES_AFTER:
            self._die()
        if fault is Fault.FROZEN_AFTER:
            await asyncio.sleep(seconds)
        await self._answered()
        if fault is Fault.ANSWER_LOST:
            raise StorageUnavailable("the answer was lost")
        if error:
            raise error
        return answer

    async def _sent(
        self, fault: Fault | None, seconds: float, effect: Callable[[], Awaitable[Any]], *, removes: bool
    ) -> None:
        """What happens on the way there; a call that does not arrive in time raises."""
        if fault is Fault.DIES_BEFORE:
            self._die()
        # Assumed: a removal takes effect before its caller gives up, or never. No ETag guards it.
        if fault is Fault.LATE:
            await self._late(effect, 0.0 if removes else seconds)
        await asyncio.sleep(self._latency())
        if fault is Fault.STALLED or (fault is Fault.FROZEN and removes):
            await asyncio.sleep(min(seconds, CALL_SECONDS - 0.1))
        elif fault is Fault.FROZEN:
            await asyncio.sleep(seconds)
        elif fault is Fault.REFUSED:
            await self._answered()
            raise StorageUnavailable("refused")

    def _next(self, name: str) -> tuple[Fault | None, float]:
        for key in (name, self.calls):
            if key in self._armed:
                return self._armed.pop(key)
        if self.fault_rate and self._random.random() < self.fault_rate:
            return self._random.choice(tuple(Fault)), self._random.choice((0.5, 2, 6, 15, 40)) * self._random.random()
        return None, 0.0

    def _latency(self) -> float:
        return self._random.uniform(0.0005, 0.002)

    async def _answered(self) -> None:
        await asyncio.sleep(self._latency())
        await self._clock.thawed()
        if self.dead:
            raise Died

    async def _late(self, effect: Callable[[], Awaitable[Any]], seconds: float) -> None:
        task = asyncio.create_task(self._effect_after(effect, CALL_SECONDS + seconds))
        self.disk.late.add(task)
        task.add_done_callback(self.disk.late.discard)
        await asyncio.sleep(CALL_SECONDS)
        await self._answered()
        raise StorageUnavailable("no answer in time")

    async def _effect_after(self, effect: Callable[[], Awaitable[Any]], seconds: float) -> None:
        await asyncio.sleep(seconds)
        with suppress(StorageError):  # nobody waits for this answer
            await self._effect(effect)

    async def _effect(self, effect: Callable[[], Awaitable[Any]]) -> Any:  # noqa: ANN401 # as above
        """Not cut in the middle: a request that was sent is executed, even if its sender dies."""
        if self.disk.instant:
            return await effect()
        return await asyncio.shield(asyncio.ensure_future(self._real(effect)))

    async def _real(self, effect: Callable[[], Awaitable[Any]]) -> Any:  # noqa: ANN401 # as above
        loop = asyncio.get_running_loop()
        async with self.disk.effect:
            loop.pending_io += 1
            try:
                return await effect()
            finally:
                loop.pending_io -= 1

    def _die(self) -> None:
        self._on_death()
        raise Died


class RemoteTable:
    """A table behind a wire. The ports say what its methods do."""

    def __init__(self, table: Table, wire: Wire) -> None:
        self._table = table
        self._wire = wire

    async def insert(self, entity: Entity) -> str:
        return await self._wire.call("insert", lambda: self._table.insert(entity))

    async def get(self, partition_key: str, row_key: str, *, select: Sequence[str] = ()) -> Stored:
        return await self._wire.call("get", lambda: self._table.get(partition_key, row_key, select=select))

    async def merge(self, entity: Entity, *, etag: str) -> str:
        return await self._wire.call("merge", lambda: self._table.merge(entity, etag=etag))

    async def put_and_merge(self, put: Entity, merged: Entity, *, etag: str) -> None:
        await self._wire.call("put_and_merge", lambda: self._table.put_and_merge(put, merged, etag=etag))

    async def query(self, equal: Entity, **how: Any) -> AsyncIterator[Stored]:  # noqa: ANN401 # passed on
        async def effect() -> list[Stored]:
            return [stored async for stored in self._table.query(equal, **how)]

        for stored in await self._wire.call("query", effect):
            yield stored


class RemoteIngestions(RemoteTable):
    """The table `ingestions`, with a referee who sees what changes."""

    async def insert(self, entity: Entity) -> str:
        entry = POST.get()

        async def effect() -> str:
            etag = await self._table.insert(entity)
            self._wire.disk.referee.inserted(entry, str(entity["PartitionKey"]))
            return etag

        return await self._wire.call("insert", effect)

    async def merge(self, entity: Entity, *, etag: str) -> str:
        run = RUN.get()
        if run is None or run.started or "slot" not in entity:
            return await super().merge(entity, etag=etag)

        note = self._wire.disk.referee.given_up if run.marked else self._wire.disk.referee.marked

        async def effect() -> str:
            new_etag = await self._table.merge(entity, etag=etag)
            note(str(entity["PartitionKey"]), run)
            return new_etag

        return await self._wire.call("give_up" if run.marked else "mark", effect)

    async def put_and_merge(self, put: Entity, merged: Entity, *, etag: str) -> None:
        async def effect() -> None:
            await self._table.put_and_merge(put, merged, etag=etag)
            index = int(str(put["RowKey"]).removeprefix("batch-"))
            self._wire.disk.referee.ended(str(put["PartitionKey"]), index, str(put["status"]))

        await self._wire.call("put_and_merge", effect)


class RemoteQueue:
    """A lane's queues behind a wire."""

    def __init__(self, queue: Queue, lane: Priority, wire: Wire) -> None:
        self._queue = queue
        self._lane = lane
        self._wire = wire

    async def put(self, text: str) -> None:
        async def effect() -> None:
            await self._queue.put(text)
            self._wire.disk.referee.put(text, self._lane)

        await self._wire.call("put", effect)

    async def put_poison(self, text: str) -> None:
        await self._wire.call("put_poison", lambda: self._queue.put_poison(text))

    async def peek(self) -> Sequence[Message]:
        run = RUN.get()
        if run:
            self._wire.disk.referee.looks(run)
        return await self._wire.call("peek", self._queue.peek)

    async def receive(self) -> Received | None:
        self._wire.disk.hidden = True
        return await self._wire.call("receive", self._queue.receive)

    async def delete(self, message: Received) -> None:
        async def effect() -> None:
            await self._queue.delete(message)
            self._wire.disk.referee.deleted(message.text)

        await self._wire.call("delete", effect)

    async def release(self, message: Received) -> None:
        await self._wire.call("release", lambda: self._queue.release(message))


class RemoteStorage:
    """One process's storage, at the far end of its wire."""

    def __init__(self, storage: Storage, wire: Wire) -> None:
        self._storage = storage
        self.ingestions = RemoteIngestions(storage.ingestions, wire)
        self.dispatch = RemoteTable(storage.dispatch, wire)
        self.lanes = {lane: RemoteQueue(queue, lane, wire) for lane, queue in storage.lanes.items()}

    async def close(self) -> None:
        await self._storage.close()
