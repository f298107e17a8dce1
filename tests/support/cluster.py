"""Several hosts on one storage account, in virtual time: they boot, tick, stall, die and live on as zombies.

A host's clocks are its own. Its timer behaves as the Functions host's: a tick that outlasts its period is followed at
once by exactly one more. A killed process leaves nothing behind but what it wrote; a *zombie* is one whose host was
killed and whose running calls go on to their end, while a new process ticks.
"""

import asyncio
import json
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass
from random import Random
from typing import Any

from ingest_core.adapters.memory import Account, MemoryStorage
from ingest_core.app import assemble
from ingest_core.contract import IngestRequest
from ingest_core.dispatcher import Tick
from ingest_core.errors import AttemptFailed, SourceUnavailable, StorageUnavailable
from ingest_core.models import Priority
from ingest_core.ports import Storage
from ingest_core.recovery import recover
from ingest_core.settings import Settings
from tests.support.referee import CLOCK_RATES, Entry, Referee, Run
from tests.support.virtual_time import HostClock, true_time
from tests.support.wire import POST, RUN, Died, Disk, RemoteStorage, Wire

PERIOD = 5.0
RECOVERY_PERIOD = 600.0


@dataclass(frozen=True)
class Answer:
    """What the external API does with one start. `kind` is ok, failed, held or never; `retry_after` is of held."""

    kind: str = "ok"
    seconds: float = 0.1
    retry_after: float | None = None


class ScriptedSource:
    """The external API: it notes every start, and answers the next ones as it was told."""

    def __init__(self, referee: Referee, settings: Settings) -> None:
        self.script: deque[Answer] = deque()
        self.usual: Callable[[], Answer] = Answer
        self._referee = referee
        self._settings = settings
        self._answers: dict[Run, Answer] = {}

    async def fetch(self, item_id: int) -> str:
        run = RUN.get()
        first = run.started is None
        if first:
            self._answers[run] = self.script.popleft() if self.script else self.usual()
            entry, index = self._referee.start(item_id, run, true_time())
            self._note(entry, index, self._answers[run])
        answer = self._answers[run]
        if answer.kind == "never":
            await asyncio.get_running_loop().create_future()
        await asyncio.sleep(answer.seconds)
        if answer.kind == "failed" and first:
            raise AttemptFailed("the source failed")
        if answer.kind == "held" and first:
            asked = min(answer.retry_after or 0.0, self._settings.max_retry_after)
            run.closes_until = true_time() + max(asked, self._settings.interval) * (1 - CLOCK_RATES)
            raise SourceUnavailable("the source asks to wait", retry_after_seconds=answer.retry_after)
        return json.dumps(item_id)

    async def close(self) -> None:
        pass

    def _note(self, entry: Entry, index: int, answer: Answer) -> None:
        """What the start can come to: nobody may claim anything else."""
        late = answer.kind == "never" or answer.seconds > self._settings.source_timeout * 0.99
        if late or answer.kind == "failed":
            entry.failures[index] = entry.failures.get(index, 0) + 1
        if answer.kind == "ok":
            entry.delivered.add(index)
        if answer.kind == "held":
            asked = 60 if answer.retry_after is None else min(answer.retry_after, self._settings.max_retry_after)
            self._referee.closed_until = max(self._referee.closed_until, true_time() + answer.seconds + asked)


class Process:
    """One life of a host's worker."""

    def __init__(self, name: str, cluster: "Cluster", clock: HostClock) -> None:
        self.name = name
        self.clock = clock
        self.retired = False
        self.wire = Wire(cluster.disk, clock, cluster.random, on_death=self.kill)
        self._storage = RemoteStorage(cluster.connect(), self.wire)
        self._core = assemble(cluster.settings, storage=self._storage, source=cluster.source, clock=clock)
        self._referee = cluster.referee
        self._lease_seconds = cluster.settings.lease_seconds
        self._tasks: set[asyncio.Task[Any]] = set()
        self._ticking: asyncio.Task[Any] | None = None

    @property
    def running(self) -> bool:
        """Whether it is neither killed nor a zombie."""
        return not (self.wire.dead or self.retired)

    def kill(self) -> None:
        """End it between two of its steps."""
        self.wire.dead = True
        for task in self._tasks:
            if task is not asyncio.current_task():
                task.cancel()

    def spawn(self, what: Callable[[], Coroutine[Any, Any, Any]]) -> asyncio.Task[Any]:
        """Let it do something that ends with it."""
        task = asyncio.create_task(self._mortal(what))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def tick(self) -> Tick | None:
        """Run the dispatch function once; None when storage failed."""
        run = Run(self.name, true_time())
        RUN.set(run)
        self._ticking = asyncio.current_task()
        try:
            came_to = await self._core.dispatcher.tick()
        except StorageUnavailable:
            return None
        if true_time() - run.began_at < self._lease_seconds:  # it still held the gate when it gave it back
            self._referee.paused(run.closes_until)
        return came_to

    def cut(self) -> None:
        """Cut the latest tick where it is, as a host does that shuts down; its `finally` still runs."""
        if self._ticking:
            self._ticking.cancel()

    async def put(self, text: str, lane: Priority) -> None:
        """Somebody puts a message into a lane."""
        with suppress(StorageUnavailable):
            await self._storage.lanes[lane].put(text)

    async def recover(self) -> None:
        """Run the recovery function once."""
        with suppress(StorageUnavailable):
            await recover(self._core.ingestions, self._core.lanes, self.clock)

    async def keep_recovering(self) -> None:
        """Run it at start, and then periodically."""
        while self.running:
            await self.recover()
            await asyncio.sleep(RECOVERY_PERIOD)

    async def post(self, entry: Entry, key: str) -> bool:
        """Answer a POST; whether with a 202 that reaches its caller."""
        POST.set(entry)
        request = IngestRequest(ids=list(entry.ids), priority=entry.lane)
        try:
            accepted = await self._core.context.service.accept(request, idempotency_key=key)
        except StorageUnavailable:
            return False
        if str(accepted) != entry.ingestion_id:
            self._referee.blame(f"{accepted} was acknowledged for {entry.ingestion_id}")
        return self.running

    async def status(self, entry: Entry) -> dict[str, Any] | None:
        """Answer a GET /status; None stands for 503."""
        with suppress(StorageUnavailable):
            return json.loads(await self._core.context.service.status(entry.ingestion_id))

    async def close(self) -> None:
        """Let go of everything."""
        self.kill()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._storage.close()

    async def _mortal(self, what: Callable[[], Coroutine[Any, Any, Any]]) -> Any:  # noqa: ANN401 # as of what it runs
        try:
            return await what()
        except Died:
            return None
        except asyncio.CancelledError:
            if not self.wire.dead:
                raise
        except Exception as error:  # noqa: BLE001 # whatever it is, it must not happen
            self._referee.blame(f"{self.name}: {error!r}")


class Host:
    """A machine on which one process at a time is alive."""

    def __init__(self, name: str, cluster: "Cluster", clock: HostClock) -> None:
        self.name = name
        self.clock = clock
        self.process: Process | None = None
        self.jitter: Callable[[], float]  # how much later than due a tick begins, in seconds
        self.skips: Callable[[], bool]  # whether a tick is left out
        self.be_steady()
        self._cluster = cluster
        self._lives = 0
        self._timer: asyncio.Task[None] | None = None

    @property
    def alive(self) -> bool:
        """Whether a process ticks here."""
        return self.process is not None and self.process.running

    def boot(self) -> Process:
        """Start a process if none is alive."""
        if self.process is None or not self.process.running:
            self._lives += 1
            self.process = self._cluster.start(f"{self.name}.{self._lives}", self.clock)
            self._timer = asyncio.create_task(self._run(self.process))
            self.process.spawn(self.process.keep_recovering)
        return self.process

    def kill(self) -> None:
        """Let the process die where it is."""
        if self.process:
            self.process.kill()
        self._stop_timer()

    def turn_into_zombie(self) -> None:
        """The host is gone; what its worker runs now goes on."""
        if self.process:
            self.process.retired = True
        self._stop_timer()

    def be_steady(self) -> None:
        """Let the timer fire when it is due."""
        self.jitter = lambda: 0.0
        self.skips = lambda: False

    def tick(self) -> None:
        """A manual run, at this moment."""
        if self.process and self.process.running:
            self.process.spawn(self.process.tick)

    def _stop_timer(self) -> None:
        if self._timer:
            self._timer.cancel()

    async def _run(self, process: Process) -> None:
        due = true_time() + self._cluster.random.random()
        while process.running:
            await asyncio.sleep(max(0.0, due - true_time()) + self.jitter())
            began = true_time()
            if not self.skips():
                await asyncio.wait([process.spawn(process.tick)])
            due = (began // PERIOD + 1) * PERIOD  # long over when the tick was slow: the next follows at once


class Cluster:
    """Hosts, their storage, the external API and the referee. Make it, and use it, on one virtual loop."""

    def __init__(self, *, seed: int = 0, connect: Callable[[], Storage] | None = None, **settings: Any) -> None:  # noqa: ANN401 # of many types
        self.random = Random(seed)  # noqa: S311 # latencies, no secrets
        self.settings = Settings(connection_string="unused", **settings)
        self.referee = Referee(
            interval=self.settings.interval,
            batch_size=self.settings.batch_size,
            max_attempts=self.settings.max_attempts,
        )
        self.source = ScriptedSource(self.referee, self.settings)
        self.disk = Disk(self.referee, instant=connect is None)
        service_clock = HostClock()
        self.account = Account(now=service_clock.now)
        self.connect = connect or (lambda: MemoryStorage(self.account))
        self.hosts: list[Host] = []
        self._processes: list[Process] = []
        self._callers: set[asyncio.Task[None]] = set()
        self._keys = 0
        self.patience = 2 * self.settings.lease_seconds + 4 * PERIOD  # an observer's count, begun again once
        self._inspector = RemoteStorage(
            self.connect(), Wire(self.disk, service_clock, self.random, on_death=lambda: None)
        )

    def add_host(self, clock: HostClock | None = None) -> Host:
        """Add a machine with this clock, or with one that is wrong, and boot it."""
        clock = clock or HostClock(
            base=self.random.uniform(0, 1e6),
            rate=1 + self.random.uniform(-0.0005, 0.0005),
            wall_offset=self.random.uniform(-5, 5),
        )
        host = Host(f"host{len(self.hosts)}", self, clock)
        self.hosts.append(host)
        host.boot()
        return host

    def boot(self) -> None:
        """Let a process be alive on every host."""
        for host in self.hosts:
            host.boot()

    def start(self, name: str, clock: HostClock) -> Process:
        """Start a process; for `Host`."""
        process = Process(name, self, clock)
        self._processes.append(process)
        return process

    def post(self, host: Host, size: int, lane: Priority, *, tries: int = 1) -> Entry:
        """Send a POST to a host, and again, with the same key, when it fails."""
        entry = self.referee.post(size, lane)
        self._keys += 1
        task = asyncio.create_task(self._post(host, entry, f"key-{self._keys}", tries))
        self._callers.add(task)
        task.add_done_callback(self._callers.discard)
        return entry

    def heal(self) -> None:
        """Make every host healthy, and the external API too."""
        for process in self._processes:
            process.wire.disarm()
        for host in self.hosts:
            host.be_steady()
        self.boot()
        self.source.script.clear()
        self.source.usual = Answer

    async def see_progress(self) -> None:
        """Heal, and see that something starts soon, if work waits."""
        self.heal()
        starts = len(self.referee.starts)

        async def moved() -> bool:
            return len(self.referee.starts) > starts or not self.referee.waiting()

        await self._see(moved)

    async def drain(self) -> None:
        """Heal, see all work done in time, and check what is left behind."""
        self.heal()
        for _ in range(2):  # what lost answers have hidden comes back, and rows without a message are found
            await self._see(self._idle)
            await asyncio.sleep(2 * PERIOD)
            await self._let_hidden_messages_return()
            process = self.hosts[0].boot()
            await process.spawn(process.recover)
        last = self.post(self.hosts[0], 1, Priority.LOW)  # it still works, and its gate is given back
        await asyncio.gather(*self._callers)
        await self._see(self._idle)
        assert last.acknowledged
        await self._check_remains()
        self.referee.check()

    async def check_status(self, entry: Entry) -> None:
        """See that `GET /status` shows what the model says, as of some moment of the call."""
        process = next((host.process for host in self.hosts if host.alive), None)
        if process is None or not entry.acknowledged:
            return
        before = len(entry.ended)
        task = process.spawn(lambda: process.status(entry))
        await asyncio.wait([task])
        if not task.cancelled() and (shown := task.result()):
            check_shown(entry, shown, at_least=before)

    async def close(self) -> None:
        """End everything."""
        for host in self.hosts:
            host.kill()
        for task in (*self._callers, *self.disk.late):
            task.cancel()
        for process in self._processes:
            await process.close()
        await self._inspector.close()

    async def _post(self, host: Host, entry: Entry, key: str, tries: int) -> None:
        for _ in range(tries):
            if host.process and host.process.running:
                process = host.process
                task = process.spawn(lambda: process.post(entry, key))  # noqa: B023 # used before the loop goes on
                await asyncio.wait([task])
                if not task.cancelled() and task.result():
                    entry.acknowledged = True
                    return
            await asyncio.sleep(1)

    async def _see(self, condition: Callable[[], Awaitable[bool]]) -> None:
        """Wait for the condition while something starts at least every so often."""
        if self.disk.late:
            await asyncio.wait(self.disk.late)
        while not await condition():
            starts, since = len(self.referee.starts), true_time()
            while not await condition() and len(self.referee.starts) == starts:
                calm_since = max(since, self.referee.closed_until, *(host.clock.frozen_until for host in self.hosts))
                if true_time() > calm_since + self.patience:
                    self.referee.blame(f"{true_time():.3f}: no progress since {since:.3f}")
                self.referee.check()
                await asyncio.sleep(1)
                self.boot()  # a fault may have been on its way when all was healed

    async def _idle(self) -> bool:
        if self._callers or self.referee.waiting():
            return False
        fronts = [await queue.peek() for queue in self._inspector.lanes.values()]
        return not any(fronts)

    async def _let_hidden_messages_return(self) -> None:
        """A real queue hides a received message for real seconds."""
        if self.disk.hidden and not self.disk.instant:
            time.sleep(5.5)  # noqa: ASYNC251 # no virtual time must pass
        self.disk.hidden = False

    async def _check_remains(self) -> None:
        """Every row has ended as the model says, nothing is left in a lane, and nobody holds the gate."""
        process = self.hosts[0].boot()
        for entry in self.referee.entries:
            if entry.acknowledged and entry.finished_at is None:
                self.referee.blame(f"{entry.ingestion_id} was acknowledged and has not finished")
            elif entry.ingestion_id:
                check_shown(entry, await process.status(entry), at_least=entry.batch_count)
        gate = (await self._inspector.dispatch.get("gate", "gate")).entity
        if gate["hold_seconds"] > self.settings.interval:
            self.referee.blame(f"the gate was left held for {gate['hold_seconds']} s")


def check_shown(entry: Entry, shown: Mapping[str, Any], *, at_least: int) -> None:
    """Compare an answer of `GET /status` with the model: so many batches had ended when it was asked for."""
    statuses = [batch["status"] for batch in shown["batches"]]
    assert [item for batch in shown["batches"] for item in batch["ids"]] == list(entry.ids)
    done = sum(status in ("completed", "failed") for status in statuses)
    assert at_least <= done <= len(entry.ended)
    assert statuses[:done] == entry.ended[:done]
    assert all(status == "yet_to_start" for status in statuses[done + 1 :])
    if done == entry.batch_count:
        assert shown["status"] == ("failed" if "failed" in entry.ended else "completed")
    elif done or statuses[0] == "triggered":
        assert shown["status"] == "triggered"
    else:
        assert shown["status"] == "yet_to_start"
