"""Several hosts on one storage account, the external API, callers and a referee, in virtual time."""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from copy import deepcopy
from random import Random
from typing import Any
from uuid import uuid5

from ingest_core.app import assemble
from ingest_core.errors import AlreadyEnded, StorageUnavailable
from ingest_core.models import IngestRequest, Priority
from ingest_core.ports import Storage
from ingest_core.service.retrying import KEYS
from ingest_core.service.service import Service
from ingest_core.settings import Settings, read_settings
from ingest_core.source.simulated import SimulatedSource
from ingest_core.storage.memory import Account, MemoryStorage
from tests.support.machines import Answer, Host, Process
from tests.support.referee import Entry, Referee
from tests.support.virtual_time import HostClock, true_time
from tests.support.wire import Died, Disk, Wire, remote

Copy = tuple[dict[str, dict[Any, Any]], dict[str, list[Any]]]


def settings_with(**values: float) -> Settings:
    """The service's settings, with these values and no others."""
    return read_settings({"AzureWebJobsStorage": "-", **{name: str(value) for name, value in values.items()}})


class Cluster:
    """Hosts, their storage, the external API, callers and the referee. Make it, and use it, on one virtual loop."""

    def __init__(self, *, seed: int = 0, interval: float = 5.0, connect: Callable[[], Storage] | None = None) -> None:
        self.random = Random(seed)  # noqa: S311 # latencies, no secrets
        self.interval = interval
        self.settings = settings_with(INGEST_INTERVAL_SECONDS=interval)
        """Of the processes that start from now on."""
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
        parts = assemble(
            self.settings,
            storage=remote(self.connect(), Wire(self.disk, clock, self.random)),
            source=SimulatedSource(clock=clock),
            clock=clock,
        )
        self.people, self.stores = parts.context.service, parts.stores
        """The service of a host that never fails and does not tick, and its storage."""
        self._clock = clock
        self._items = 0
        self._kept: set[asyncio.Task[Any]] = set()
        asyncio.get_running_loop().set_exception_handler(self._note_exception)

    def add_host(self, clock: HostClock | None = None) -> Host:
        """Add a machine with this clock, or with one that is wrong, and boot it."""
        clock = clock or HostClock(
            base=self.random.uniform(0, 1e6),
            rate=1 + self.random.uniform(-0.0005, 0.0005),
            wall_offset=self.random.uniform(-130, 130),
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
        """A list that is about to be posted, with an idempotency key."""
        ids = range(self._items + 1, self._items + size + 1)
        self._items += size
        return self.referee.expect(uuid5(KEYS, f"key:{ids[0]}"), ids, lane)

    async def post(self, size: int, lane: Priority = Priority.HIGH, *, to: Host | None = None) -> Entry:
        """Post a list, to a host that may fail and die or to one that does not; it may stay unacknowledged."""
        entry = self.expect(size, lane)
        await self.repeat(entry, to=to)
        return entry

    async def repeat(self, entry: Entry, *, to: Host | None = None) -> None:
        """Post a list, perhaps once more."""
        request, key = IngestRequest(ids=entry.ids, priority=entry.lane), str(entry.ids[0])
        is_accepted = await self._ask(to, lambda service: service.accept(request, idempotency_key=key))
        if is_accepted and entry.acknowledged_at is None:
            entry.acknowledged_at = true_time()

    async def cancel(self, entry: Entry, *, to: Host | None = None) -> None:
        """Cancel a list."""
        await self._ask(to, lambda service: service.cancel(entry.ingestion_id))

    async def move(self, entry: Entry, lane: Priority, *, to: Host | None = None) -> None:
        """Move a list to the back of another lane."""
        await self._ask(to, lambda service: service.change_priority(entry.ingestion_id, lane))

    async def pause(self, lane: Priority, seconds: float) -> None:
        """Pause a lane for so long."""
        self.referee.paused.add(lane)
        await self.people.pause(lane)
        self.referee.paused_at[lane] = true_time()
        await asyncio.sleep(seconds)
        del self.referee.paused_at[lane]
        await self.people.resume(lane)
        self.referee.resumed_at[lane] = true_time()
        self.referee.paused.discard(lane)

    async def _ask(self, host: Host | None, question: Callable[[Service], Coroutine[Any, Any, Any]]) -> bool:
        """Whether a host has done what a caller asks for; it may fail or die."""
        process = host.process if host else None

        async def asked() -> bool:
            with suppress(AlreadyEnded, StorageUnavailable):
                await question(process.service if process else self.people)
                return True
            return False

        return bool(await (process.spawn(asked()) if process else asked()))

    # What storage loses --------------------------------------------------------------------------------------------

    def copy(self) -> Copy:
        """What storage has written down so far."""
        return deepcopy((self.account.tables, self.account.queues))

    def roll_back(self, copy: Copy, *, tables: Sequence[str] = (), queues: bool = False) -> None:
        """Let storage lose what it has acknowledged since: in these tables, in the queues, or in both."""
        self.account.tables.update({name: copy[0][name] for name in tables})
        if queues:
            self.account.queues = copy[1]
        rows = self.account.table("ingestions")
        texts = "".join(text for name in self.account.queues for text in self.account.texts(name))
        for entry in list(self.referee.entries.values()):
            self.referee.rolled_back(
                entry,
                {key[1]: stored.entity for key, stored in rows.items() if key[0] == str(entry.ingestion_id)},
                has_message=str(entry.ingestion_id) in texts,
            )

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
            await self.repeat(lost[0])
        await self.settle(within=within)
        await asyncio.sleep(90)  # the last sweeps, of messages that crashed ones have hidden too
        await self.hosts[0].process.keep_up()  # by hand; its timer would come within ten minutes
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

    async def _check_remains(self) -> None:
        if left := [str(row.ingestion_id)[:8] for row in await self.stores.backlog.everything()]:
            self.referee.blame(f"in the backlog: {left}")
        for lane in Priority:
            if left := [message.text for message in await self.stores.lanes.peek(lane)]:
                self.referee.blame(f"in the queue of {lane}: {left}")
        for entry in list(self.referee.entries.values()):
            if entry.present and not await self.stores.history.contains(entry.present):
                self.referee.blame(f"not in the history: {entry.ingestion_id}")

    def _note_exception(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if not isinstance(error, Died | asyncio.CancelledError | None):
            self.referee.blame(f"{context['message']}: {error!r}")
