"""A small world for proofs: one storage, several hosts, their callers and the API, on one clock that tests own.

The clock lies in memory that forked processes share, and the ledger in a file, so a host's death stops neither. Every
host has its own monotonic clock with its own beginning. Only a message's visibility timeout passes in real time.
"""

import asyncio
import json
import mmap
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any, Protocol

from ingest_core import rows
from ingest_core.adapters.azure import AzureStorage
from ingest_core.adapters.memory import Account, MemoryStorage
from ingest_core.app import App, Core, assemble
from ingest_core.contract import IngestRequest
from ingest_core.errors import AttemptFailed, SourceUnavailable, StorageUnavailable
from ingest_core.models import Priority, Status
from ingest_core.ports import Storage
from ingest_core.recovery import recover
from ingest_core.settings import Settings
from tests.support.faults import Faults
from tests.support.ledger import BATCH_SIZE, Ledger, posted, violations

INTERVAL = 5.0
CALL_SECONDS = 0.004
"""A storage call takes twice this on the world's clock: there and back."""

MAX_TICKS = 400
SENT_AGAIN = 100_000
"""What is added to the IDs when a caller without a key sends a request again, so that each ID has one request."""


class Time:
    """Seconds since the beginning, shared with forked processes."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, 8)
        self.began_at = datetime.now(UTC)

    @property
    def seconds(self) -> float:
        return float(struct.unpack("d", self._memory[:8])[0])

    def pass_by(self, seconds: float) -> None:
        """Let time pass."""
        self._memory[:8] = struct.pack("d", self.seconds + max(0.0, seconds))


class HostClock:
    """One host's clocks: the monotonic one begins anywhere, and the wall clock may be wrong."""

    def __init__(self, time: Time, *, beginning: float, wrong_by: float = 0.0) -> None:
        self._time = time
        self._beginning = beginning
        self._wrong_by = timedelta(seconds=wrong_by)

    def monotonic(self) -> float:
        return self._beginning + self._time.seconds

    def now(self) -> datetime:
        return self._time.began_at + timedelta(seconds=self._time.seconds) + self._wrong_by

    async def sleep(self, seconds: float) -> None:
        self._time.pass_by(seconds)


class Backend(Protocol):
    """Where the world's storage is."""

    def storage(self, faults: Faults, *, create: bool) -> Storage:
        """A new client; `create` as the first one of a process does, or take tables and queues for granted."""
        ...

    async def waiting(self, storage: Any, lane: Priority) -> int:  # noqa: ANN401 # the backend's own storage
        """How many messages a lane has, hidden ones included."""
        ...

    async def poisoned(self, storage: Any, lane: Priority) -> list[str]:  # noqa: ANN401 # as above
        """The texts in a lane's poison queue."""
        ...


@dataclass(frozen=True)
class AzureBackend:
    """An account of a real Azurite."""

    connection_string: str

    def storage(self, faults: Faults, *, create: bool) -> AzureStorage:
        storage = AzureStorage(self.connection_string, transport=faults.transport)
        storage._created = not create
        return storage

    async def waiting(self, storage: AzureStorage, lane: Priority) -> int:
        found = await storage.lanes[lane]._client.get_queue_properties()
        return int(found.approximate_message_count or 0)

    async def poisoned(self, storage: AzureStorage, lane: Priority) -> list[str]:
        messages = await storage.lanes[lane]._poison.peek_messages(max_messages=32)
        return [message.content for message in messages]


@dataclass(frozen=True)
class MemoryBackend:
    """An account in memory."""

    account: Account

    def storage(self, faults: Faults, *, create: bool) -> MemoryStorage:  # noqa: ARG002 # nothing to create
        return MemoryStorage(self.account, before=faults.before, after=faults.after)

    async def waiting(self, storage: MemoryStorage, lane: Priority) -> int:  # noqa: ARG002 # the account knows
        return len(self.account.queue(f"ingest-{lane.lower()}"))

    async def poisoned(self, storage: MemoryStorage, lane: Priority) -> list[str]:  # noqa: ARG002 # the account knows
        return [one.message.text for one in self.account.queue(f"ingest-{lane.lower()}-poison")]


@dataclass
class World:
    """Storage, time and the API; `refusals` says how an ID's first fetches go wrong: `{7: ["failed", "held"]}`."""

    backend: Backend
    ledger: Ledger
    settings: Mapping[str, object] = field(default_factory=dict)
    refusals: Mapping[int, Sequence[str]] = field(default_factory=dict)
    time: Time = field(default_factory=Time)
    hosts: list["Host"] = field(default_factory=list)
    _beginnings: "count[int]" = field(default_factory=lambda: count(1))

    def host(self, faults: Faults | None = None, *, create: bool = False, wrong_by: float = 0.0) -> "Host":
        """Start a host."""
        faults = faults or Faults(pass_time=self.time.pass_by, call_seconds=CALL_SECONDS)
        clock = HostClock(self.time, beginning=1000.0 * next(self._beginnings), wrong_by=wrong_by)
        host = Host(self, faults, clock, self.backend.storage(faults, create=create))
        self.hosts.append(host)
        return host

    async def close(self) -> None:
        """Stop all hosts."""
        for host in self.hosts:
            await host.storage.close()
        self.hosts.clear()

    async def send_again(self, host: "Host") -> None:
        """Callers without an answer try again: with their key, or as a new request where they have none."""
        for one in self.ledger.events("sent"):
            answered = {event["request"] for event in self.ledger.events("acknowledged")}
            if one["request"] in answered or one["gives_up"]:
                continue
            if one["key"]:
                await host.post(one["ids"], one["lane"], key=one["key"], request=one["request"])
            else:
                ids = [item_id + SENT_AGAIN for item_id in one["ids"]]
                await host.post(ids, one["lane"], request=one["request"] + SENT_AGAIN)

    async def drain(self, *hosts: "Host") -> None:
        """Let the hosts tick in turn until none of them finds work."""
        for _ in range(MAX_TICKS):
            outcomes = [await host.tick() for host in hosts]
            if set(outcomes) == {"idle"}:
                return
            self.time.pass_by(0.5)
        raise AssertionError(f"not drained after {MAX_TICKS} rounds: {outcomes}")


class Host:
    """One process's service."""

    def __init__(self, world: World, faults: Faults, clock: HostClock, storage: Any) -> None:  # noqa: ANN401 # a port
        self.world = world
        self.faults = faults
        self.clock = clock
        self.storage = storage
        settings = Settings(connection_string="-", interval=INTERVAL, batch_size=BATCH_SIZE, **world.settings)
        self.core: Core = assemble(settings, storage=storage, source=Api(world), clock=clock)
        self._saw: Callable[[str], None] | None = None
        faults.saw = self._note_end

    async def post(
        self,
        ids: Sequence[int],
        lane: str = "HIGH",
        *,
        key: str | None = None,
        request: int | None = None,
        gives_up: bool = False,
    ) -> bool:
        """A caller's request, its number being its first ID; False where it has no answer but a 503."""
        request = request or ids[0]
        note = self.world.ledger.note
        note("sent", request=request, ids=list(ids), lane=lane, key=key, gives_up=gives_up)
        parsed = IngestRequest(ids=ids, priority=Priority(lane))
        try:
            ingestion_id = await self.core.context.service.accept(parsed, idempotency_key=key)
        except StorageUnavailable:
            return False
        note("acknowledged", request=request, ingestion_id=str(ingestion_id))
        return True

    async def tick(self) -> str:
        """One firing of the timer."""
        try:
            return await self.core.dispatcher.tick()
        except StorageUnavailable:
            return "storage_unavailable"

    async def recover(self) -> int | None:
        """One firing of the recovery timer."""
        try:
            return await recover(self.core.ingestions, self.core.lanes, self.clock)
        except StorageUnavailable:
            return None

    async def put(self, text: str, lane: str = "HIGH") -> None:
        """Somebody puts a message into a lane."""
        await self.storage.lanes[Priority(lane)].put(text)

    def _note_end(self, call: str, request: Any, response: Any) -> None:  # noqa: ANN401 # azure-core's
        if call == "transaction" and response.content.count(b"HTTP/1.1 204") == 2:
            partition, row = request.content.split(b"PartitionKey='")[1].split(b"') HTTP")[0].split(b"',RowKey='")
            self.world.ledger.note("ended", partition=partition.decode(), row=row.decode())


class Api:
    """The external API of a world."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def fetch(self, item_id: int) -> str:
        world = self._world
        before = sum(event["id"] == item_id for event in world.ledger.events("fetched"))
        world.ledger.note("fetched", id=item_id, at=world.time.seconds)
        await asyncio.sleep(0)  # all of a batch are sent at once
        if item_id % BATCH_SIZE == 1:
            world.time.pass_by(0.1)
        match world.refusals.get(item_id, ())[before : before + 1]:
            case ["failed"]:
                raise AttemptFailed("the API answered 500")
            case ["held"]:
                raise SourceUnavailable("the API asks to wait", retry_after_seconds=2 * INTERVAL)
        return json.dumps({"id": item_id})

    async def close(self) -> None:
        pass


def app_of(host: Host) -> App:
    """The service as its triggers see it, over a host's parts."""
    app = App({"AzureWebJobsStorage": "UseDevelopmentStorage=true"})
    app._core = host.core
    return app


def make_world(
    backend: Backend,
    path: Path,
    *,
    settings: Mapping[str, object] | None = None,
    refusals: Mapping[int, Sequence[str]] | None = None,
) -> World:
    """A world with a new ledger."""
    return World(backend=backend, ledger=Ledger(path), settings=settings or {}, refusals=refusals or {})


async def wrong(world: World, host: Host, *, failed: Sequence[int] = (), poison: Sequence[str] = ()) -> list[str]:
    """What is wrong with a drained world; `failed` are the requests that are meant to fail, by their first ID."""
    events = world.ledger.events()
    found = list(violations(events, interval=INTERVAL))
    found += await _wrong_rows(world, host, failed)
    found += await left(world, host)
    poisoned = [text for lane in Priority for text in await world.backend.poisoned(host.storage, lane)]
    found += [f"no poison message has {text!r}" for text in poison if not any(text in one for one in poisoned)]
    found += [f"poison message {one!r}" for one in poisoned if not any(text in one for text in poison)]
    gate = await host.storage.dispatch.get("gate", "gate")
    if gate.entity["hold_seconds"] > 2 * INTERVAL:
        found.append(f"the gate is still leased: {dict(gate.entity)}")
    return found


async def left(world: World, host: Host) -> list[str]:
    """Messages that are still in a lane, hidden ones included."""
    counts = {lane: await world.backend.waiting(host.storage, lane) for lane in Priority}
    return [f"{number} messages are left in lane {lane}" for lane, number in counts.items() if number]


async def _wrong_rows(world: World, host: Host, failed: Sequence[int]) -> list[str]:
    """One query for everything: each row of a request is there, ended as it should, and nothing is unfinished."""
    found = []
    entities = [stored.entity async for stored in host.storage.ingestions.query({}, row_keys=("", "~"))]
    ingestions = {
        entity["PartitionKey"]: rows.decode_ingestion(entity)
        for entity in entities
        if entity["PartitionKey"] == entity["RowKey"]
    }
    found += [f"row {number} is unfinished" for number, ingestion in ingestions.items() if not ingestion.finished]
    for request in posted(world.ledger.events()):
        if request.ingestion_id is None:
            continue
        if request.ingestion_id not in ingestions:
            found.append(f"request {request.request} was acknowledged and has no row")
            continue
        expected = Status.FAILED if request.request in failed else Status.COMPLETED
        if (status := ingestions[request.ingestion_id].status) is not expected:
            found.append(f"request {request.request} is {status}")
        keys = {one["RowKey"] for one in entities if one["PartitionKey"] == request.ingestion_id}
        if keys != {request.ingestion_id, *map(rows.batch_row_key, range(request.batch_count))}:
            found.append(f"request {request.request} has the rows {keys}")
    return found
