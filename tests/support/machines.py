"""Hosts, and the processes on them, in virtual time: they boot, tick, stall, die and live on as zombies.

A host's clocks are its own. Its timer behaves as the Functions host's: a tick that outlasts its period is followed at
once by exactly one more. A killed process leaves nothing behind but what it wrote. A *zombie* is a worker whose host
was killed: it gets no further tick and learns of it within a second, and what it runs goes on to its end.
"""

import asyncio
import json
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from typing import TYPE_CHECKING, Any

from ingest_core.app import assemble
from ingest_core.dispatch.look import Look, Sight
from ingest_core.dispatch.slots import START_BUDGET_SECONDS
from ingest_core.errors import AttemptFailed, ItemRejected, SourceUnavailable, StorageUnavailable
from ingest_core.ports import Answer as SourceAnswer
from tests.support.referee import Looked
from tests.support.virtual_time import HostClock, true_time
from tests.support.wire import Died, Wire, remote

if TYPE_CHECKING:
    from tests.support.cluster import Cluster

UPKEEP_SECONDS = 600.0
"""The timer of the upkeep fires this often, and at the start of a host."""


@dataclass(frozen=True)
class Answer:
    """What the external API does with one start. `kind` is ok, rejected, failed, throttled or never."""

    kind: str = "ok"
    seconds: float = 0.1
    retry_after: float | None = None


class ScriptedSource:
    """The external API as one process sees it."""

    def __init__(self, process: "Process", cluster: "Cluster") -> None:
        self._process = process
        self._cluster = cluster

    async def fetch_batch(self, ids: Sequence[int], *, timeout_seconds: float) -> Sequence[SourceAnswer]:
        process, referee = self._process, self._cluster.referee
        process.wire.check()
        answer = self._cluster.next_answer(ids)
        in_time = answer.kind != "never" and answer.seconds < timeout_seconds
        until = true_time() + timeout_seconds * 1.001
        key = referee.started(process, ids, until)
        await process.clock.sleep(answer.seconds if in_time else timeout_seconds)
        one = self._answer(answer) if in_time else AttemptFailed("no answer in time")
        referee.fetched(process, key, delivered=not isinstance(one, AttemptFailed | SourceUnavailable))
        return [json.dumps(item_id) if one == "" else one for item_id in ids]

    async def close(self) -> None:
        pass

    def _answer(self, answer: Answer) -> SourceAnswer:
        match answer.kind:
            case "ok":
                return ""
            case "rejected":
                return ItemRejected("no such item")
            case "failed":
                return AttemptFailed("the source failed")
        if answer.retry_after is not None:
            settings = self._process.settings
            wait = max(min(answer.retry_after, settings.max_retry_after), settings.interval)
            self._process.throttled_until = max(self._process.throttled_until, true_time() + wait * 0.99)
        return SourceUnavailable("the source asks to wait", retry_after_seconds=answer.retry_after)


class MortalClock:
    """A host's clock as a process sees it: a dead one sees nothing."""

    def __init__(self, clock: HostClock, wire: Wire) -> None:
        self._clock = clock
        self._wire = wire

    def monotonic(self) -> float:
        self._wire.check()
        return self._clock.monotonic()

    def now(self) -> datetime:
        return self._clock.now()

    async def sleep(self, seconds: float) -> None:
        await self._clock.sleep(seconds)
        self._wire.check()


class Process:
    """One life of a host's worker."""

    def __init__(self, name: str, cluster: "Cluster", clock: HostClock) -> None:
        self.name = name
        self.wire = Wire(cluster.disk, clock, cluster.random)
        self.clock = MortalClock(clock, self.wire)
        self.settings = cluster.settings
        self.is_retired = False
        self.is_orphaned = False
        self.looked = Looked()
        self.throttled_until = 0.0
        self._referee = cluster.referee
        parts = assemble(
            self.settings,
            storage=remote(cluster.connect(), self.wire),
            source=ScriptedSource(self, cluster),
            clock=self.clock,
            is_orphaned=lambda: self.is_orphaned,
        )
        self.service, self.upkeep = parts.context.service, parts.upkeep
        dispatch = parts.dispatch
        self.dispatcher, self.running, self.gate = dispatch.dispatcher, dispatch.running, dispatch.gate
        self._watch(dispatch.look)

    @property
    def ticks(self) -> bool:
        """Whether it is neither killed nor a zombie."""
        return not (self.wire.dead or self.is_retired)

    async def tick(self) -> None:
        """Run the dispatch function once."""
        with suppress(StorageUnavailable):
            await self.dispatcher.tick()

    async def keep_up(self) -> None:
        """Run the upkeep function once."""
        with suppress(StorageUnavailable):
            await self.upkeep.run()

    def spawn(self, what: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Let it do something that ends with it."""
        return asyncio.create_task(self._mortal(what))

    async def _mortal(self, what: Coroutine[Any, Any, Any]) -> Any:  # as of what it runs
        try:
            return await what
        except Died:
            return None
        except Exception as error:  # noqa: BLE001 # whatever it is, it must not happen
            self._referee.blame(f"{self.name}: {error!r}")

    def _watch(self, look: Look) -> None:
        """Tell the referee when a look begins, and when the others were told of a throttle."""
        look_into_lanes, write_throttle = look.look, self.gate.write_throttle

        async def watched_look() -> Sight:
            self.looked = Looked(
                at=true_time(),
                age=self.gate.age(),
                api_is_down=self.running.api.is_down,
                running_here=self.running.keys,
            )
            return await look_into_lanes()

        async def watched_throttle() -> None:
            is_unwritten, until = self.gate.has_unwritten_throttle, self.throttled_until
            await write_throttle()
            if is_unwritten and not self.wire.dead:
                self._referee.throttled(true_time() + START_BUDGET_SECONDS + 0.1, until)

        look.look = watched_look  # type: ignore[method-assign]
        self.gate.write_throttle = watched_throttle  # type: ignore[method-assign]


class Host:
    """A machine on which one process at a time gets ticks."""

    def __init__(self, name: str, cluster: "Cluster", clock: HostClock) -> None:
        self.name = name
        self.clock = clock
        self.jitter: Callable[[], float] = lambda: 0.0
        self._cluster = cluster
        self._lives = count(1)
        self.process = self._start()

    def boot(self) -> Process:
        """Start a process if none is alive."""
        if not self.process.ticks:
            self.process = self._start()
        return self.process

    def kill(self) -> None:
        """Let the process die where it is."""
        self.process.wire.die()

    def turn_into_zombie(self) -> None:
        """The host is gone; what its worker runs now goes on."""
        process = self.process
        process.is_retired = True

        def orphan() -> None:
            process.is_orphaned = True

        asyncio.get_running_loop().call_later(self._cluster.random.random(), orphan)

    def _start(self) -> Process:
        process = Process(f"{self.name}.{next(self._lives)}", self._cluster, self.clock)
        self._cluster.processes.append(process)
        self._cluster.keep(self._run(process))
        self._cluster.keep(self._keep_up(process))
        return process

    async def _keep_up(self, process: Process) -> None:
        while process.ticks:
            await process.spawn(process.keep_up())
            await asyncio.sleep(UPKEEP_SECONDS)

    async def _run(self, process: Process) -> None:
        period = self._cluster.period
        due = true_time() + min(1.0, period) * self._cluster.random.random()
        while process.ticks:
            await asyncio.sleep(max(0.004, due - true_time()) + self.jitter())
            if not process.ticks:
                return
            began = true_time()
            await process.spawn(process.tick())
            due = (began // period + 1) * period  # long over when the tick was slow: the next follows at once
