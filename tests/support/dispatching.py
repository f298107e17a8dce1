"""Hosts that dispatch in virtual time: storage in memory with faults on the way to it, and an API."""

import asyncio
import json
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial, wraps
from itertools import pairwise
from typing import Any, ParamSpec
from uuid import UUID, uuid4

from ingest_core.dispatch.assembly import make_dispatcher
from ingest_core.dispatch.dispatcher import Dispatcher, Tick
from ingest_core.dispatch.settlement import Rules
from ingest_core.errors import StorageUnavailable
from ingest_core.models import Ingestion, Priority
from ingest_core.ports import Answer
from ingest_core.service.service import Service
from ingest_core.storage.gate_row import GateRow
from ingest_core.storage.memory import Account, MemoryQueue, MemoryStorage, MemoryTable
from ingest_core.storage.stores import Stores, open_stores
from tests.support.virtual_time import HostClock, run, true_time

INTERVAL = 5.0
LEASE_SECONDS = 25.0
CALL_SECONDS = 0.001

Parameters = ParamSpec("Parameters")
Action = Callable[[], Awaitable[None]]


def in_virtual_time(test: Callable[Parameters, Coroutine[Any, Any, None]]) -> Callable[Parameters, None]:
    """Run an async test on a loop that jumps to its next timer."""

    @wraps(test)
    def from_time_zero(*args: Parameters.args, **kwargs: Parameters.kwargs) -> None:
        run(lambda: test(*args, **kwargs))

    return from_time_zero


class Killed(BaseException):
    """The process is gone: none of its calls reaches storage, and nothing of it goes on."""


class Wire:
    """The way from one host to its storage. Calls are named by table or queue, and method: `dispatch merge`."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        #: Calls that fail before they take effect, and calls whose answers are lost, until a test removes them.
        self.failing: set[str] = set()
        self.losing: set[str] = set()
        self.seconds: dict[str, float] = defaultdict(lambda: CALL_SECONDS)
        #: What happens once, just before the next such call.
        self.once: dict[str, Action] = {}
        self.is_killed = False

    async def before(self, name: str, call: str) -> None:
        """Let the call take its time, and perhaps fail."""
        call = f"{name} {call.partition('.')[2]}"
        if self.is_killed:
            raise Killed
        self.calls.append(call)
        if action := self.once.pop(call, None):
            await action()
        await asyncio.sleep(self.seconds[call])
        if call in self.failing:
            raise StorageUnavailable(f"{call}: no connection")

    async def after(self, name: str, call: str) -> None:
        """Lose the answer, perhaps."""
        call = f"{name} {call.partition('.')[2]}"
        if call in self.losing:
            raise StorageUnavailable(f"{call}: no answer")


def storage_over(account: Account, wire: Wire, *, ended_queue: str = "") -> MemoryStorage:
    """A client of the account whose calls go over the wire."""
    before, after = partial(wire.before, "ended"), partial(wire.after, "ended")
    storage = MemoryStorage(account, before=before, after=after, ended_queue=ended_queue)
    for name in ("ingestions", "dispatch", "backlog", "history"):
        before, after = partial(wire.before, name), partial(wire.after, name)
        setattr(storage, name, MemoryTable(account=account, name=name, before=before, after=after))
    storage.lanes = {
        lane: MemoryQueue(
            account=account, name=queue, before=partial(wire.before, queue), after=partial(wire.after, queue)
        )
        for lane in Priority
        for queue in [f"ingest-{lane.lower()}"]
    }
    return storage


@dataclass(frozen=True, kw_only=True)
class Fetch:
    """What the API was asked, and when on true time."""

    at: float
    ids: tuple[int, ...]


class Api:
    """An external API. `answer` gives each ID's JSON or error; a fetch takes `seconds`."""

    def __init__(self, *, seconds: float = 0.05, answer: Callable[[int], Answer] = json.dumps) -> None:
        self.seconds = seconds
        self.answer = answer
        self.fetches: list[Fetch] = []

    async def fetch_batch(self, ids: Sequence[int], *, timeout_seconds: float) -> Sequence[Answer]:
        self.fetches.append(Fetch(at=true_time(), ids=tuple(ids)))
        await asyncio.sleep(min(self.seconds, timeout_seconds))
        return [self.answer(item_id) for item_id in ids]

    async def close(self) -> None:
        """Do nothing: there are no connections."""

    @property
    def first_ids(self) -> list[int]:
        """The first ID of each fetch, in order."""
        return [fetch.ids[0] for fetch in self.fetches]

    @property
    def gaps(self) -> list[float]:
        """The seconds between each fetch and the next."""
        times = [fetch.at for fetch in self.fetches]
        return [later - earlier for earlier, later in pairwise(times)]


@dataclass(frozen=True, kw_only=True)
class Host:
    """A process that dispatches."""

    dispatcher: Dispatcher
    api: Api
    clock: HostClock
    wire: Wire
    stores: Stores


class World:
    """An account, and everybody who uses it."""

    def __init__(self, *, ended_queue: str = "") -> None:
        self.account = Account(now=HostClock().now)
        self.ended_queue = ended_queue
        self.stores = open_stores(MemoryStorage(self.account, ended_queue=ended_queue), sends_events=bool(ended_queue))

    def host(  # each test varies another one
        self,
        api: Api | None = None,
        *,
        interval: float = INTERVAL,
        lease_seconds: float = LEASE_SECONDS,
        max_in_flight: int = 4,
        max_attempts: int = 5,
        clock: HostClock | None = None,
        is_orphaned: Callable[[], bool] = lambda: False,
    ) -> Host:
        """A process that has just started."""
        api, clock, wire = api or Api(), clock or HostClock(base=1000.0), Wire()
        storage = storage_over(self.account, wire, ended_queue=self.ended_queue)
        stores = open_stores(storage, sends_events=bool(self.ended_queue))
        parts = make_dispatcher(
            stores,
            source=api,
            clock=clock,
            rules=Rules(max_attempts=max_attempts, interval=interval, max_retry_after=3600.0),
            source_timeout_seconds=10.0,
            lease_seconds=lease_seconds,
            max_in_flight=max_in_flight,
            is_orphaned=is_orphaned,
        )
        return Host(dispatcher=parts.dispatcher, api=api, clock=clock, wire=wire, stores=stores)

    async def post(self, ids: Iterable[int], lane: Priority = Priority.LOW) -> UUID:
        """Accept a list."""
        listed, now = list(ids), self.account.now()
        ingestion = Ingestion(
            ingestion_id=uuid4(),
            priority=lane,
            created_at=now,
            queued_at=now,
            id_count=len(listed),
            batch_size=3,
            digest="",
        )
        await self.stores.ingestions.insert(ingestion, listed)
        await self.stores.lanes.put(lane, ingestion.ingestion_id)
        await self.stores.backlog.insert(ingestion)
        return ingestion.ingestion_id

    async def ingestion(self, ingestion_id: UUID) -> Ingestion:
        """An ingestion as it is stored."""
        return (await self.stores.ingestions.read(ingestion_id)).value

    async def gate(self) -> GateRow:
        """The gate as it is stored."""
        return (await self.stores.gate.read()).gate

    def waiting(self, lane: Priority = Priority.LOW) -> int:
        """How many messages a lane has."""
        return len(self.account.texts(f"ingest-{lane.lower()}"))

    def poisoned(self, lane: Priority = Priority.LOW) -> list[str]:
        """The texts in a lane's poison queue."""
        return self.account.texts(f"ingest-{lane.lower()}-poison")


def service_on(host: Host, *, interval: float = INTERVAL) -> Service:
    """The service that answers requests in a host's process."""
    return Service(host.stores, clock=host.clock, batch_size=3, interval=interval)


async def kill(host: Host, ticking: "asyncio.Task[Any]") -> None:
    """End a process as `kill -9` does."""
    host.wire.is_killed = True
    ticking.cancel()
    await asyncio.gather(ticking, return_exceptions=True)
    await host.dispatcher.stop()


async def keep_ticking(host: Host, *, until: float, schedule: float = 5.0) -> list[Tick]:
    """Fire the timer as the Functions host does: on the schedule, and at once after a tick that has outlasted it."""
    outcomes = []
    while (began := true_time()) < until:
        with suppress(StorageUnavailable):
            outcomes.append(await host.dispatcher.tick())
        due = (began // schedule + 1) * schedule
        await asyncio.sleep(max(0.004, due - true_time()))
    return outcomes
