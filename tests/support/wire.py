"""What lies between a process and its storage: time, faults, and a referee who sees every effect.

It wraps the ports, so the storage behind it may be in memory or real. A call has a name, such as `ingestions.merge`,
`dispatch.get` or `HIGH.peek`.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from random import Random
from typing import Any, cast

from ingest_core.errors import StorageError, StorageUnavailable
from ingest_core.ports import CALL_SECONDS, Entity, Storage, Stored
from tests.support.virtual_time import HostClock

REMOVALS = ("receive", "delete", "release")
TABLES = ("ingestions", "dispatch", "backlog", "history")

Observer = Callable[[str, tuple[Any, ...], Any], None]


class Died(BaseException):
    """The process is no more: nothing of it runs on, `except Exception` included."""


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


@dataclass(eq=False)
class Disk:
    """One storage account as all processes share it. Real calls take real time, in which virtual time stands still."""

    saw: Observer
    is_real: bool
    late: set[asyncio.Task[Any]] = field(default_factory=set)
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def do(self, name: str, args: tuple[Any, ...], effect: Callable[[], Awaitable[Any]]) -> Any:
        """Let an effect happen. It is not cut in the middle: a request that was sent is executed."""
        if self.is_real:
            return await asyncio.shield(asyncio.ensure_future(self._do_for_real(name, args, effect)))
        answer = await effect()
        self.saw(name, args, answer)
        return answer

    async def _do_for_real(self, name: str, args: tuple[Any, ...], effect: Callable[[], Awaitable[Any]]) -> Any:
        loop: Any = asyncio.get_running_loop()
        async with self.turn:
            loop.pending_io += 1
            try:
                answer = await effect()
            finally:
                loop.pending_io -= 1
            self.saw(name, args, answer)
            return answer


class Wire:
    """One process's way to its storage."""

    def __init__(self, disk: Disk, clock: HostClock, random: Random) -> None:
        self.dead = False
        self.calls: list[str] = []
        self.fault_rate = 0.0  # of all calls, beside what is armed
        self.latency = 0.001  # each way, on average
        self._disk = disk
        self._clock = clock
        self._random = random
        self._armed: dict[int | str, tuple[Fault, float]] = {}

    def arm(self, fault: Fault, *, number: int = 0, name: str = "", seconds: float = 0.0) -> None:
        """Let something happen to the next call of that name, or to the call with this number, counted from 1."""
        self._armed[name or number] = (fault, seconds)

    def disarm(self) -> None:
        """Let nothing happen from now on."""
        self._armed.clear()
        self.fault_rate = 0.0

    def die(self) -> None:
        """Let nothing of the process run on."""
        self.dead = True

    def check(self) -> None:
        """Raise `Died` if the process is no more."""
        if self.dead:
            raise Died

    async def call(self, name: str, args: tuple[Any, ...], effect: Callable[[], Awaitable[Any]]) -> Any:
        """Make a call, as well as it goes."""
        self.check()
        self.calls.append(name)
        fault, seconds = self._next(name)
        await self._send(name, args, effect, fault, seconds)
        error, answer = None, None
        try:
            answer = await self._disk.do(name, args, effect)
        except StorageError as raised:
            error = raised
        if fault is Fault.DIES_AFTER:
            self.die()
        if fault is Fault.FROZEN_AFTER:
            await asyncio.sleep(seconds)
        await self._answer()
        if fault is Fault.ANSWER_LOST:
            raise StorageUnavailable("the answer was lost")
        if error:
            raise error
        return answer

    async def _send(
        self,
        name: str,
        args: tuple[Any, ...],
        effect: Callable[[], Awaitable[Any]],
        fault: Fault | None,
        seconds: float,
    ) -> None:
        """What happens on the way there; a call that does not arrive in time raises."""
        # Assumed: a removal takes effect before its caller gives up, or never. No ETag guards it.
        removes = name.endswith(REMOVALS)
        if fault is Fault.DIES_BEFORE:
            self.die()
        self.check()
        if fault is Fault.LATE:
            task = asyncio.create_task(self._late(name, args, effect, 0.0 if removes else seconds))
            self._disk.late.add(task)
            task.add_done_callback(self._disk.late.discard)
            await asyncio.sleep(CALL_SECONDS)
            await self._answer()
            raise StorageUnavailable("no answer in time")
        await asyncio.sleep(self._travel())
        if fault is Fault.STALLED or (fault is Fault.FROZEN and removes):
            await asyncio.sleep(min(seconds, CALL_SECONDS - 0.1))
        elif fault is Fault.FROZEN:
            await asyncio.sleep(seconds)
        elif fault is Fault.REFUSED:
            await self._answer()
            raise StorageUnavailable("refused")
        self.check()

    async def _answer(self) -> None:
        self.check()
        await asyncio.sleep(self._travel())
        await self._clock.thawed()
        self.check()

    async def _late(
        self, name: str, args: tuple[Any, ...], effect: Callable[[], Awaitable[Any]], seconds: float
    ) -> None:
        await asyncio.sleep(CALL_SECONDS - 0.01 + seconds)
        with suppress(StorageError):  # nobody waits for this answer
            await self._disk.do(name, args, effect)

    def _next(self, name: str) -> tuple[Fault | None, float]:
        for key in (name, len(self.calls)):
            if key in self._armed:
                return self._armed.pop(key)
        if self.fault_rate and self._random.random() < self.fault_rate:
            return self._random.choice(tuple(Fault)), self._random.choice((0.5, 2, 6, 15, 40)) * self._random.random()
        return None, 0.0

    def _travel(self) -> float:
        return self._random.uniform(0.5, 1.5) * self.latency


class Remote:
    """A table or a queue behind a wire. The ports say what its methods do."""

    def __init__(self, name: str, target: Any, wire: Wire) -> None:  # a table or a queue
        self._name = name
        self._target = target
        self._wire = wire

    def __getattr__(self, operation: str) -> Callable[..., Awaitable[Any]]:
        method = getattr(self._target, operation)

        async def call(*args: Any, **how: Any) -> Any:
            return await self._wire.call(f"{self._name}.{operation}", args, lambda: method(*args, **how))

        return call

    async def query(self, equal: Entity, **how: Any) -> AsyncIterator[Stored]:
        async def effect() -> list[Stored]:
            return [stored async for stored in self._target.query(equal, **how)]

        for stored in await self._wire.call(f"{self._name}.query", (), effect):
            yield stored


class RemoteStorage:
    """One process's storage, at the far end of its wire."""

    def __init__(self, storage: Storage, wire: Wire) -> None:
        for name in TABLES:
            setattr(self, name, Remote(name, getattr(storage, name), wire))
        self.lanes = {lane: Remote(lane.value, queue, wire) for lane, queue in storage.lanes.items()}


def remote(storage: Storage, wire: Wire) -> Storage:
    """A process's storage, at the far end of its wire: the calls are the same ones."""
    return cast("Storage", RemoteStorage(storage, wire))
