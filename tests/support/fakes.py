"""Hand-written fakes, and a service made of them that runs in no time."""

import json
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta

from ingest_core.adapters.memory import Account, MemoryStorage
from ingest_core.app import Core, assemble
from ingest_core.contract import IngestRequest
from ingest_core.models import Priority
from ingest_core.recovery import recover
from ingest_core.settings import Settings

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


class FakeClock:
    """A clock that moves only when it is told to, or slept on."""

    def __init__(self, seconds: float = 1000.0) -> None:
        self.seconds = seconds

    def monotonic(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return EPOCH + timedelta(seconds=self.seconds)

    async def sleep(self, seconds: float) -> None:
        self.seconds += max(0.0, seconds)


class FakeSource:
    """An API that notes when each ID is asked for; `answers` says what an ID raises instead of being delivered."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self.fetched: list[tuple[float, int]] = []
        self.answers: dict[int, list[Exception]] = {}
        self.takes_seconds = 0.0
        self.on_fetch: Callable[[int], Awaitable[None]] | None = None

    async def fetch(self, item_id: int) -> str:
        self.fetched.append((self._clock.monotonic(), item_id))
        if self.on_fetch:
            await self.on_fetch(item_id)
        await self._clock.sleep(self.takes_seconds)
        self.takes_seconds = 0.0  # the fetches of a batch run at the same time: the first one's time is all of theirs
        if self.answers.get(item_id):
            raise self.answers[item_id].pop(0)
        return json.dumps({"id": item_id})

    async def close(self) -> None:
        pass

    def starts(self) -> list[float]:
        """When batches were started."""
        return sorted({at for at, _ in self.fetched})

    def ids(self) -> list[int]:
        """The IDs in the order in which they were asked for."""
        return [item_id for _, item_id in self.fetched]


def make_settings(**given: object) -> Settings:
    """Settings with defaults."""
    return Settings(connection_string="UseDevelopmentStorage=true", **given)


class Host:
    """One process's service over an account in memory, and the calls that it has made to storage."""

    def __init__(self, account: Account | None = None, clock: FakeClock | None = None, **settings: object) -> None:
        self.clock = clock or FakeClock()
        self.account = account or Account(now=self.clock.now)
        self.calls: list[str] = []
        self.source = FakeSource(self.clock)
        storage = MemoryStorage(self.account, before=self._note)
        self.core: Core = assemble(make_settings(**settings), storage=storage, source=self.source, clock=self.clock)

    async def _note(self, call: str) -> None:
        self.calls.append(call)

    async def post(self, ids: Sequence[int], priority: str = "HIGH", key: str | None = None) -> str:
        """Accept an ingestion; return its ID."""
        request = IngestRequest(ids=ids, priority=Priority(priority))
        return str(await self.core.context.service.accept(request, idempotency_key=key))

    async def status(self, ingestion_id: str) -> dict:
        """What `GET /status` shows."""
        return json.loads(await self.core.context.service.status(ingestion_id))

    async def tick(self) -> str:
        """One firing of the timer, five seconds after the last at least."""
        return await self.core.dispatcher.tick()

    async def ticks(self, count: int) -> None:
        """As many firings."""
        for _ in range(count):
            await self.tick()

    async def recover(self) -> int:
        """One firing of the recovery timer."""
        return await recover(self.core.ingestions, self.core.lanes, self.clock)

    def texts(self, queue: str) -> list[str]:
        """What a queue holds."""
        return [waiting.message.text for waiting in self.account.queue(queue)]
