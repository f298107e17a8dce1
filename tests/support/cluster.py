"""Several hosts on one storage account, the external API, callers and a referee, in virtual time."""

import asyncio
import math
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import replace
from random import Random
from typing import Any

from ingest_core.dispatch.slots import START_BUDGET_SECONDS
from ingest_core.errors import AlreadyEnded, StorageUnavailable
from ingest_core.models import Ingestion, Priority
from ingest_core.ports import Storage
from ingest_core.storage.gate_row import GateRow, Pause
from ingest_core.storage.memory import Account, MemoryStorage
from ingest_core.storage.stores import Stores, open_stores
from tests.support.accept import accept, new_ingestion
from tests.support.machines import Answer, Host, Process
from tests.support.referee import RESUME_SECONDS, Entry, Referee
from tests.support.virtual_time import HostClock, true_time
from tests.support.wire import Died, Disk, Wire, remote


class Cluster:
    """Hosts, their storage, the external API, callers and the referee. Make it, and use it, on one virtual loop."""

    def __init__(self, *, seed: int = 0, interval: float = 5.0, connect: Callable[[], Storage] | None = None) -> None:
        self.random = Random(seed)  # noqa: S311 # latencies, no secrets
        self.interval = interval
        self.period = 5.0 if interval >= 5 else 1.0
        self.referee = Referee(interval=interval)
        self.disk = Disk(self.referee.saw, is_real=connect is not None)
        self.script: deque[Answer] = deque()
        self.usual: Callable[[Sequence[int]], Answer] = lambda _: Answer()
        self.hosts: list[Host] = []
        self.processes: list[Process] = []
        clock = HostClock()
        self.account = Account(now=clock.now)
        self._connect = connect or (lambda: MemoryStorage(self.account))
        self._connected: list[Storage] = []
        self.people = open_stores(remote(self.connect(), Wire(self.disk, clock, self.random)), sends_events=False)
        self._clock = clock
        self._items = 0
        self._kept: set[asyncio.Task[Any]] = set()
        asyncio.get_running_loop().set_exception_handler(self._note_exception)

    def add_host(self, clock: HostClock | None = None) -> Host:
        """Add a machine with this clock, or with one that is wrong, and boot it."""
        clock = clock or HostClock(
            base=self.random.uniform(0, 1e6),
            rate=1 + self.random.uniform(-0.0005, 0.0005),
            wall_offset=self.random.uniform(-5, 5),
        )
        self.hosts.append(Host(f"host{len(self.hosts)}", self, clock))
        return self.hosts[-1]

    def connect(self) -> Storage:
        """A process's own client of the account."""
        self._connected.append(self._connect())
        return self._connected[-1]

    def keep(self, what: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Let something run beside the test, until it closes the cluster."""
        task = asyncio.create_task(what)
        self._kept.add(task)
        task.add_done_callback(self._kept.discard)
        return task

    def next_answer(self, ids: Sequence[int]) -> Answer:
        """What the API does with the next start."""
        return self.script.popleft() if self.script else self.usual(ids)

    # Callers ------------------------------------------------------------------------------------------------------

    def expect(self, size: int, lane: Priority) -> Entry:
        """A list that is about to be posted."""
        ids = range(self._items + 1, self._items + size + 1)
        self._items += size
        return self.referee.expect(new_ingestion(ids, lane, at=self._clock.now()), ids)

    async def post(self, size: int, lane: Priority = Priority.HIGH, *, to: Host | None = None) -> Entry:
        """Post a list, to a host that may fail and die or to storage that does not; it may stay unacknowledged."""
        entry = self.expect(size, lane)
        process = to.process if to else None
        if process is None:
            await self.repeat(entry, self.people)
        else:
            await process.spawn(self.repeat(entry, process.stores))
        return entry

    async def repeat(self, entry: Entry, stores: Stores) -> None:
        """Post a list, perhaps once more."""
        with suppress(StorageUnavailable):
            await accept(stores, entry.ingestion, entry.ids)
            if entry.acknowledged_at is None:
                entry.acknowledged_at = true_time()

    async def cancel(self, entry: Entry) -> None:
        """Cancel a list."""
        now = self._clock.now()
        with suppress(AlreadyEnded):
            written = await self.people.ingestions.change(
                entry.ingestion.ingestion_id, lambda row: row.cancelled(reason="", at=now).with_end(now)
            )
            if written and written.value.has_ended:
                await self.people.closing.close(written.value)

    async def move(self, entry: Entry, lane: Priority) -> None:
        """Move a list to the back of another lane."""
        key, now = entry.ingestion.ingestion_id, self._clock.now()
        with suppress(AlreadyEnded):
            acknowledged_at, entry.acknowledged_at = entry.acknowledged_at, None  # not in line meanwhile
            try:
                written = await self.people.ingestions.change(key, lambda row: row.moved(lane, at=now))
                assert written is not None
                entry.position = None
                await self.people.backlog.update(written.value)
                await self.people.lanes.put(lane, key, written.value.generation)
                await self.people.ingestions.change(key, _queued)
                acknowledged_at = true_time()
            finally:
                entry.acknowledged_at = acknowledged_at

    async def pause(self, lane: Priority, seconds: float) -> None:
        """Pause a lane for so long."""
        unused = GateRow(slot=0, token="unused", age=0.0, due=self.interval + START_BUDGET_SECONDS)
        self.referee.skipped[lane] = math.inf
        await self.people.gate.set_pause(lane, Pause(since=self._clock.now()), gate=unused)
        await asyncio.sleep(START_BUDGET_SECONDS + 0.01)  # a starter that took the gate before gets out of the way
        self.referee.paused_at[lane] = true_time()
        await asyncio.sleep(seconds)
        del self.referee.paused_at[lane]
        await self.people.gate.set_pause(lane, None, gate=unused)
        self.referee.skipped[lane] = true_time() + max(self.interval, RESUME_SECONDS)

    # The end ------------------------------------------------------------------------------------------------------

    async def drain(self, *, within: float = 4 * 3600) -> None:
        """Make everything healthy, see all work done, and check what is left behind."""
        self.script.clear()
        self.usual = lambda _: Answer()
        for process in self.processes:
            process.wire.disarm()
        for host in self.hosts:
            host.jitter = lambda: 0.0
            host.boot()
        while lost := [entry for entry in self.referee.entries.values() if entry.acknowledged_at is None]:
            await self.repeat(lost[0], self.people)
        await self.settle(within=within)
        await asyncio.sleep(90)  # the last sweeps, of messages that crashed ones have hidden too
        await self._close_the_rest()
        self.referee.check_ends()
        await self._check_remains()
        self.referee.check()

    async def settle(self, *, within: float) -> None:
        """Return when everything that was posted has ended."""
        deadline = true_time() + within
        while true_time() < deadline and self.referee.open() and not self.referee.violations:
            await asyncio.sleep(min(5.0, self.interval))

    async def until_started(self, count: int) -> None:
        """Return when so many batches were started since the beginning."""
        deadline = true_time() + 600
        while len(self.referee.starts) < count:
            assert true_time() < deadline, f"only {len(self.referee.starts)} starts"
            await asyncio.sleep(0.01)

    async def close(self) -> None:
        """End everything."""
        for process in self.processes:
            process.wire.die()
        for task in (*self._kept, *self.disk.late):
            task.cancel()
        await asyncio.gather(*self._kept, *self.disk.late, return_exceptions=True)
        loop: Any = asyncio.get_running_loop()
        loop.pending_io += 1
        for storage in self._connected:
            await storage.close()
        loop.pending_io -= 1

    async def _close_the_rest(self) -> None:
        """What upkeep does: close what has ended and is still in the backlog."""
        for row in await self.people.backlog.everything():
            present = await self.people.ingestions.read(row.ingestion_id)
            if present.value.has_ended:
                await self.people.closing.close(present.value, backlog_key=row.row_key)

    async def _check_remains(self) -> None:
        if left := [str(row.ingestion_id)[:8] for row in await self.people.backlog.everything()]:
            self.referee.blame(f"in the backlog: {left}")
        for lane in Priority:
            if left := [message.text for message in await self.people.lanes.peek(lane)]:
                self.referee.blame(f"in the queue of {lane}: {left}")
        for entry in list(self.referee.entries.values()):
            if entry.present and not await self.people.history.contains(entry.present):
                self.referee.blame(f"not in the history: {entry.ingestion.ingestion_id}")

    def _note_exception(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if not isinstance(error, Died | asyncio.CancelledError | None):
            self.referee.blame(f"{context['message']}: {error!r}")


def _queued(row: Ingestion) -> Ingestion:
    return replace(row, is_queued=True)
