"""What callers may ask for: accept a list, see how it stands, read what was fetched, steer it.

The service takes and returns values; it knows no HTTP and no JSON. Every method raises `StorageUnavailable`, and those
that are about one ingestion raise `UnknownIngestion` and `UnreadableRow` too.
"""

import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID, uuid4, uuid5

from ingest_core.dispatch.slots import START_BUDGET_SECONDS
from ingest_core.errors import AlreadyEnded, NotFound, StorageUnavailable, UnknownIngestion
from ingest_core.models import BatchRecord, Ingestion, IngestRequest, Item, Priority
from ingest_core.ports import Clock
from ingest_core.service.accepting import Accepting
from ingest_core.service.forecast import Forecast
from ingest_core.service.gate_view import first_gate_row, read_gate_view
from ingest_core.service.listing import Filters, Listing, ListPage
from ingest_core.service.overview import Overview, Overviews
from ingest_core.service.retrying import KEYS, Retrying
from ingest_core.storage.changes import Version
from ingest_core.storage.gate_row import Pause
from ingest_core.storage.stores import Stores

log = logging.getLogger(__name__)

PAGE_BYTES = 2 * 1024 * 1024
"""A page of results ends after the batch that reaches this size."""

WHOLE_BYTES = 32 * 1024 * 1024
"""An answer with all results ends after the batch that reaches this size, because it is built in memory."""

_READ_TOGETHER = 1000

Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True)
class Summary:
    """An ingestion and when it starts and ends; the forecast is None if it has ended, or if it cannot be known."""

    ingestion: Ingestion
    forecast: Forecast | None


@dataclass(frozen=True, kw_only=True)
class Batches:
    """The batches `first` to `end` (exclusive) of an ingestion, and the records of those that have ended, by index."""

    ingestion: Ingestion
    ids: Sequence[int]
    first: int
    end: int
    records: dict[int, BatchRecord]


@dataclass(frozen=True, kw_only=True)
class Results:
    """What was fetched for the batches from the cursor up to `next_cursor`.

    `has_more` says whether there is more now; `is_complete`, that there will never be more.
    """

    items: Sequence[Item]
    next_cursor: int
    has_more: bool
    is_complete: bool


class Service:
    """The use cases behind the HTTP contract."""

    def __init__(self, stores: Stores, *, clock: Clock, batch_size: int, interval: float) -> None:
        self._ingestions = stores.ingestions
        self._lanes = stores.lanes
        self._closing = stores.closing
        self._gate_table = stores.gate
        self._clock = clock
        self._interval = interval
        self._accepting = Accepting(stores, clock=clock, batch_size=batch_size)
        self._retrying = Retrying(stores, accepting=self._accepting)
        self._listing = Listing(stores)
        self._overviews = Overviews(stores, clock=clock, interval=interval)

    # Accepting and reading ----------------------------------------------------------------------------------------

    async def accept(self, request: IngestRequest, *, idempotency_key: str | None = None) -> UUID:
        """Store and queue a list. The same key with the same values gives the same ingestion. Raises `KeyReused`."""
        ingestion_id = uuid5(KEYS, f"key:{idempotency_key}") if idempotency_key else uuid4()
        await self._accepting.accept(ingestion_id, request)
        self._overviews.drop()
        return ingestion_id

    async def version(self, ingestion_id: UUID) -> Version[Ingestion]:
        """The ingestion without its IDs, and the ETag of its row: one point read."""
        return await _known(self._ingestions.read(ingestion_id))

    async def whole(self, ingestion_id: UUID) -> tuple[Version[Ingestion], list[int]]:
        """The ingestion and all its IDs: one point read."""
        return await _known(self._ingestions.read_whole(ingestion_id))

    async def summary(self, ingestion_id: UUID) -> Summary:
        """The ingestion with its forecast."""
        return await self._summary((await self.version(ingestion_id)).value)

    async def batches(self, ingestion_id: UUID, *, cursor: int, limit: int) -> Batches:
        """How each of the batches went, from this index on."""
        version, ids = await self.whole(ingestion_id)
        ingestion = version.value
        end = min(cursor + limit, ingestion.batch_count)
        count = min(end, ingestion.started_batches) - cursor
        records = await self._ingestions.records(ingestion_id, cursor, count) if count > 0 else []
        by_index = {record.index: record for record in records}
        return Batches(ingestion=ingestion, ids=ids, first=cursor, end=end, records=by_index)

    async def results(self, ingestion_id: UUID, *, cursor: int, limit: int) -> Results:
        """A page of what was fetched, in the order of the list: it ends before the first batch that has not ended."""
        ingestion = (await self.version(ingestion_id)).value
        return await self._results(ingestion, cursor, limit, enough_bytes=PAGE_BYTES)

    async def all_results(self, ingestion_id: UUID, *, cursor: int) -> Results:
        """Everything that was fetched, from this batch on, up to `WHOLE_BYTES`."""
        ingestion = (await self.version(ingestion_id)).value
        items: list[Item] = []
        size = 0
        while True:
            page = await self._results(ingestion, cursor, _READ_TOGETHER, enough_bytes=WHOLE_BYTES - size)
            items += page.items
            size += sum(len(item.data) + len(item.error) for item in page.items)
            if not page.has_more or size >= WHOLE_BYTES:
                break
            cursor = page.next_cursor
        return Results(items=items, next_cursor=page.next_cursor, has_more=page.has_more, is_complete=page.is_complete)

    async def list(self, filters: Filters, *, limit: int, after: str = "") -> ListPage:
        """A page of all ingestions, newest first, after the key `after`."""
        return await self._listing.page(filters, limit=limit, after=after)

    async def overview(self, *, including: UUID | None = None) -> Overview:
        """What waits and what runs, at most a second ago; see `Overviews`."""
        return await self._overviews.latest(including=including)

    async def poison_messages(self) -> Mapping[Priority, int]:
        """The approximate number of messages in each lane's poison queue."""
        return await self._lanes.poison_counts()

    # Steering -----------------------------------------------------------------------------------------------------

    async def retry(self, ingestion_id: UUID) -> Ingestion:
        """The retry of an ended ingestion, a new one if needed. Raises `NotEnded`, `NothingToRetry`."""
        ingestion = (await self.version(ingestion_id)).value
        retry = await _known(self._retrying.retry(ingestion))
        self._overviews.drop()
        return retry

    async def cancel(self, ingestion_id: UUID, *, reason: str = "") -> Summary:
        """Start no further batch. A repeat changes nothing. Raises `AlreadyEnded` if it has completed or failed.

        Whatever is not running is cancelled at once, and the ingestion with it unless a batch is still running.
        """
        now = self._clock.now()

        def cancel(present: Ingestion) -> Ingestion | None:
            return None if present.cancel_requested_at else present.cancelled(reason=reason, at=now).with_end(now)

        ingestion, is_written = await self._change(ingestion_id, cancel)
        if is_written:
            log.info("ingestion.cancel_requested ingestion_id=%s", ingestion_id)
        if is_written and ingestion.has_ended:
            log.info("ingestion.cancelled ingestion_id=%s errors=%d", ingestion_id, ingestion.error_count)
            with suppress(StorageUnavailable):  # the cancel is written; upkeep closes what this leaves open
                await self._closing.close(ingestion)
        if ingestion.has_ended and not ingestion.cancelled_count:
            raise AlreadyEnded(f"it is {ingestion.status}")
        return await self._summary(ingestion)

    async def change_priority(self, ingestion_id: UUID, priority: Priority) -> Summary:
        """Put an ingestion at the back of another lane. Raises `AlreadyEnded`.

        A repeat changes nothing, but completes a change that was interrupted.
        """
        now = self._clock.now()

        def move(present: Ingestion) -> Ingestion | None:
            moved = present.moved(priority, at=now)
            return None if present.priority is priority else moved

        ingestion, _ = await self._change(ingestion_id, move)
        if not ingestion.is_queued:
            await self._accepting.complete_move(ingestion)
            self._overviews.drop()
            log.info("ingestion.moved ingestion_id=%s lane=%s", ingestion_id, priority)
        return await self._summary(ingestion)

    async def pause(self, switch: str, *, reason: str = "", until: datetime | None = None) -> Overview:
        """Pause a lane, or all. When this returns, no batch of it starts any more, on any host.

        A start that was decided before the pause was written comes within the start budget, so this waits that long.
        """
        view = await read_gate_view(self._gate_table, now=self._clock.now(), interval=self._interval)
        before = view.pauses.get(switch)
        since = before.since if before else self._clock.now()
        await self._set_pause(switch, Pause(since=since, reason=reason, until=until))
        await self._clock.sleep(START_BUDGET_SECONDS)
        return await self.overview()

    async def resume(self, switch: str) -> Overview:
        """End the pause of a lane, or of all. If there is no pause, nothing changes."""
        await self._set_pause(switch, None)
        return await self.overview()

    async def _set_pause(self, switch: str, pause: Pause | None) -> None:
        try:
            await self._gate_table.set_pause(switch, pause, gate=first_gate_row(self._interval))
        finally:
            self._overviews.drop()
        if pause:
            log.info("lane.paused lane=%s until=%s", switch, pause.until.isoformat() if pause.until else "none")
        else:
            log.info("lane.resumed lane=%s", switch)

    async def _change(
        self, ingestion_id: UUID, change: Callable[[Ingestion], Ingestion | None]
    ) -> tuple[Ingestion, bool]:
        """Change an ingestion. Returns its state, and whether this call has written it."""
        try:
            written = await _known(self._ingestions.change(ingestion_id, change))
        finally:
            self._overviews.drop()
        if written:
            return written.value, True
        return (await self.version(ingestion_id)).value, False

    async def _summary(self, ingestion: Ingestion) -> Summary:
        if ingestion.has_ended:
            return Summary(ingestion=ingestion, forecast=None)
        overview = await self.overview(including=ingestion.ingestion_id)
        return Summary(ingestion=ingestion, forecast=overview.forecasts.get(ingestion.ingestion_id))

    async def _results(self, ingestion: Ingestion, cursor: int, limit: int, *, enough_bytes: int) -> Results:
        # A batch that was never started has no results, even if it was cancelled.
        end = min(ingestion.first_open_batch, ingestion.started_batches)
        count = min(limit, end - cursor)
        following = max(cursor, min(cursor + limit, end))
        records: list[BatchRecord] = []
        if count > 0:
            records = await self._ingestions.results(ingestion.ingestion_id, cursor, count, enough_bytes=enough_bytes)
            following = records[-1].index + 1 if records else following
        return Results(
            items=[item for record in records for item in record.items],
            next_cursor=following,
            has_more=following < end,
            is_complete=ingestion.has_ended and following >= end,
        )


async def _known(reading: Coroutine[Any, Any, Result]) -> Result:
    try:
        return await reading
    except NotFound:
        raise UnknownIngestion("no ingestion has this ID") from None
