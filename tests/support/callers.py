"""A service over storage in memory as its callers see it, with a clock that a test moves by hand.

Nothing dispatches here: a test plays the dispatcher by the few methods that start and end batches.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from ingest_core.api import handlers as api
from ingest_core.api.handlers import Answer, Context, Handler, Request
from ingest_core.models import BatchRecord, Ingestion, IngestRequest, Item, Priority, Status
from ingest_core.service.health import HealthCheck
from ingest_core.service.service import Service
from ingest_core.storage.gate_row import GateRow
from ingest_core.storage.ingestions import Ingestions
from ingest_core.storage.memory import Account, MemoryStorage
from ingest_core.storage.stores import open_stores
from tests.support.document import check_answer

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
INTERVAL = 5.0
LEASE = 20.0

TEMPLATES = {
    api.ingest: "/ingest",
    api.status: "/status/{ingestion_id}",
    api.batches: "/status/{ingestion_id}/batches",
    api.results: "/results/{ingestion_id}",
    api.ingestions: "/ingestions",
    api.ingestion: "/ingestions/{ingestion_id}",
    api.cancel: "/ingestions/{ingestion_id}/cancel",
    api.retry: "/ingestions/{ingestion_id}/retry",
    api.lanes: "/lanes",
    api.pause: "/lanes/{switch}/pause",
    api.health: "/health",
    api.metrics: "/metrics",
}
"""The path that each handler serves."""


class HandClock:
    """A clock that moves only when it is told to, or slept on."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def monotonic(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return EPOCH + timedelta(seconds=self.seconds)

    async def sleep(self, seconds: float) -> None:
        self.seconds += seconds


@dataclass(frozen=True, kw_only=True)
class Told:
    """An answer, decoded."""

    status: int
    headers: dict[str, str]
    json: Any
    text: str


class Desk:
    """One process's service. `calls` are the storage calls that it has made; `faults` says which of them fail."""

    def __init__(
        self,
        account: Account | None = None,
        clock: HandClock | None = None,
        *,
        ended_queue: str = "",
        interval: float = INTERVAL,
    ) -> None:
        self.clock = clock or HandClock()
        self.account = account or Account(now=self.clock.now)
        self.calls: list[str] = []
        self.before: dict[str, Exception] = {}
        self.after: dict[str, Exception] = {}
        storage = MemoryStorage(self.account, before=self.before_call, after=self.after_call, ended_queue=ended_queue)
        self.storage = storage
        stores = open_stores(storage, sends_events=bool(ended_queue))
        self.ingestions, self.lanes = stores.ingestions, stores.lanes
        self.backlog, self.history, self.closing = stores.backlog, stores.history, stores.closing
        self.gate_table = stores.gate
        self.service = Service(stores, clock=self.clock, batch_size=3, interval=interval)
        check = HealthCheck(stores, clock=self.clock, interval=interval, lease=LEASE)
        self.health = check.look
        self.context = Context(
            service=self.service, health=check.look, clock=self.clock, max_ids=100_000, interval=interval
        )

    async def before_call(self, call: str) -> None:
        self.calls.append(call)
        if call in self.before:
            raise self.before.pop(call)

    async def after_call(self, call: str) -> None:
        if call in self.after:
            raise self.after.pop(call)

    # What a caller does -------------------------------------------------------------------------------------------

    async def call(
        self,
        handler: Handler,
        method: str = "GET",
        *,
        query: str = "",
        body: object = None,
        headers: dict[str, str] | None = None,
        **path: object,
    ) -> Told:
        """Send a request, with a body as bytes or as what becomes JSON; the answer must be as documented.

        Every answer but a 304 ends with a newline.
        """
        data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        request = Request(
            method=method,
            url=f"http://localhost/any?{query}",
            headers=headers or {},
            path={name: str(value) for name, value in path.items()},
            body=data,
        )
        told = _told(await api.respond(self.context, handler, request))
        if handler in TEMPLATES:
            check_answer(TEMPLATES[handler], method, status=told.status, headers=told.headers, body=told.text)
        return told

    async def post(
        self, ids: Sequence[int], priority: str = "HIGH", *, label: str = "", key: str | None = None
    ) -> UUID:
        """Accept a list a millisecond after the one before."""
        self.clock.seconds += 0.001
        request = IngestRequest(ids=ids, priority=Priority(priority), label=label)
        return await self.service.accept(request, idempotency_key=key)

    async def read(self, ingestion_id: UUID) -> Ingestion:
        """The ingestion as it is stored, without counting the call."""
        count = len(self.calls)
        ingestion = (await Ingestions(self.storage.ingestions).read(ingestion_id)).value
        del self.calls[count:]
        return ingestion

    # What the dispatcher does -------------------------------------------------------------------------------------

    async def start(self, ingestion_id: UUID, index: int) -> None:
        """A batch starts."""

        def started(present: Ingestion) -> Ingestion:
            return present.batch_started(index, token=f"t{index}", age=0, lease=LEASE, at=self.clock.now())

        await self.ingestions.change(ingestion_id, started)

    async def wait(self, ingestion_id: UUID, index: int, error: str = "boom") -> None:
        """An attempt fails, and its batch waits for another one."""

        def failed(present: Ingestion) -> Ingestion | None:
            return present.attempt_failed(index, f"t{index}", error=error, counts=True, not_before=0)

        await self.ingestions.change(ingestion_id, failed)

    async def end(self, ingestion_id: UUID, index: int, *items: Item, status: Status = Status.COMPLETED) -> None:
        """A batch that was started ends; without items, each of its IDs has data."""
        _, ids = await self.ingestions.read_whole(ingestion_id)
        delivered = [Item(item_id=one, data=f'{{"n":{one}}}') for one in ids[index * 3 : index * 3 + 3]]
        now = self.clock.now()
        record = BatchRecord(
            index=index, status=status, attempts=1, triggered_at=now, completed_at=now, token=f"t{index}",
            error="boom" if status is Status.FAILED else "", items=items or delivered,
        )  # fmt: skip

        def ended(present: Ingestion) -> Ingestion | None:
            after = present.batch_ended(
                index,
                f"t{index}",
                has_failed=status is Status.FAILED,
                error_count=sum(bool(item.error) for item in items),
            )
            return after.with_end(now) if after else None

        written = await self.ingestions.end_batch(ingestion_id, ended, record)
        if written and written.value.has_ended:
            await self.closing.close(written.value)

    async def run(self, ingestion_id: UUID, *indices: int, status: Status = Status.COMPLETED) -> None:
        """Batches start and end; all of them if none is named. Failed ones could be tried again."""
        count = (await self.read(ingestion_id)).batch_count
        for index in indices or range(count):
            await self.start(ingestion_id, index)
            items = []
            if status is Status.FAILED:
                _, ids = await self.ingestions.read_whole(ingestion_id)
                items = [Item(item_id=one, error="500", is_final=False) for one in ids[index * 3 : index * 3 + 3]]
            await self.end(ingestion_id, index, *items, status=status)

    async def gate(self, **properties: Any) -> None:  # texts and numbers
        """The owner writes the gate."""
        row = replace(
            GateRow(slot=1, token="t", age=0.0, due=6.0, started_at=self.clock.now().isoformat()), **properties
        )
        try:
            await self.gate_table.write(row, (await self.gate_table.read()).etag)
        except Exception:  # noqa: BLE001 # there is none yet
            await self.gate_table.create(row)

    def texts(self, queue: str) -> list[str]:
        """What a queue holds."""
        return self.account.texts(queue)


def _told(answer: Answer) -> Told:
    is_json = "json" in answer.content_type and answer.status != 304
    if answer.body:
        assert answer.body.endswith("\n")
    lines = answer.body.splitlines()
    value: Any = None
    if is_json and answer.content_type.endswith(("ndjson", "jsonl")):
        value = [json.loads(line) for line in lines]
    elif is_json:
        value = json.loads(answer.body)
    headers = {"Content-Type": answer.content_type, **answer.headers}
    return Told(status=answer.status, headers=headers, json=value, text=answer.body)
