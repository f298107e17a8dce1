"""The look finds the batch that starts next. It reads the fronts of the lanes and the rows of their ingestions.

It serves the highest lane that is not paused and has a batch that may start. In this lane it serves the first ingestion
with such a batch, and starts the first such batch of this ingestion. Messages of ended ingestions, stale messages and
foreign messages do not hide a batch behind them. While the API is taken to be down, the batch with the fewest attempts
in all lanes starts instead.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar
from uuid import UUID

from ingest_core.dispatch.gate import Gate
from ingest_core.dispatch.running import Running
from ingest_core.errors import NotFound, UnreadableRow
from ingest_core.models import Ingestion, Priority
from ingest_core.ports import PEEKED, Clock, Message
from ingest_core.storage.backlog import OpenIngestion
from ingest_core.storage.changes import Version
from ingest_core.storage.ingestions import NextBatch
from ingest_core.storage.lanes import Ticket, oldest_first, ticket_of
from ingest_core.storage.stores import Stores

READ_TOGETHER = 16
"""The number of rows that are read in parallel if the first row of a lane has no batch that may start."""

BACKLOG_SECONDS = 2.0
"""How long a look may use the backlog that an earlier look has read."""

REMEMBERED_ENDS = 10_000


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A batch that may start, and its lane."""

    lane: Priority
    batch: NextBatch

    @property
    def attempts(self) -> int:
        """How many attempts of the batch count already."""
        flight = self.batch.ingestion.flight(self.batch.index)
        return flight.attempts if flight else 0

    @property
    def failures(self) -> int:
        """How many failed attempts of the batch count."""
        flight = self.batch.ingestion.flight(self.batch.index)
        return flight.failures if flight else 0


@dataclass(frozen=True, kw_only=True)
class Removable:
    """A message without work. If it has a `poison_reason`, it is copied to the poison queue before it is removed."""

    message: Message
    poison_reason: str = ""


@dataclass(kw_only=True)
class Sight:
    """The result of a look."""

    candidate: Candidate | None = None
    #: For each lane, the messages at its front that can be removed, in the order of the queue.
    removable: dict[Priority, list[Removable]] = field(default_factory=dict)
    #: Whether a batch waits for an age: a back-off, or the end of a lease.
    waits: bool = False
    #: Cancelled ingestions with a running batch whose process is gone.
    abandoned: list[Ingestion] = field(default_factory=list)
    #: The greatest gate age of a mark.
    greatest_age: float = 0.0
    #: The open ingestions that were read.
    read: set[UUID] = field(default_factory=set)


Seen = Version[Ingestion] | NextBatch
Item = TypeVar("Item")


class Look:
    """Reads the fronts. Every coroutine raises `StorageUnavailable`."""

    def __init__(self, stores: Stores, *, gate: Gate, running: Running, clock: Clock) -> None:
        self._ingestions = stores.ingestions
        self._lanes = stores.lanes
        self._backlog = stores.backlog
        self._gate = gate
        self._running = running
        self._clock = clock
        self._ended: OrderedDict[UUID, None] = OrderedDict()
        self._open: Sequence[OpenIngestion] = ()
        self._open_read_at: float | None = None

    async def look(self) -> Sight:
        """Find the next batch, and the messages in front of it that can be removed."""
        sight = Sight()
        for lane in Priority:
            if not self._gate.is_paused(lane):
                await self._look_into(lane, sight)
            if sight.candidate and not self._running.api.is_down:
                break
        return sight

    def may_start(self, ingestion: Ingestion) -> int | None:
        """The ingestion's batch that may start now, by the usual rule or by the rule while the API is down."""
        running_here = self._running.batches_of(ingestion.ingestion_id)
        age = self._gate.age()
        if not self._running.api.is_down:
            return ingestion.batch_that_may_start(age, running_here=running_here)
        waiting = [
            flight for flight in ingestion.in_flight if flight.index not in running_here and flight.may_start(age)
        ]
        if ingestion.cancel_requested_at or (ingestion.in_flight and not waiting):
            return None
        if waiting:
            return min(waiting, key=lambda flight: flight.attempts).index
        return ingestion.batch_that_may_start(age, running_here=running_here)

    async def _look_into(self, lane: Priority, sight: Sight) -> None:
        messages = await self._lanes.peek(lane)
        removable: dict[str, Removable] = {}
        served = oldest_first(messages)
        for group in _groups(served):
            for seen in await asyncio.gather(*(self._see(lane, message) for message in group)):
                if isinstance(seen, Removable):
                    removable[seen.message.message_id] = seen
                elif seen is not None:
                    self._consider(lane, seen, sight)
            if sight.candidate and sight.candidate.lane is lane and not self._running.api.is_down:
                break
        sight.removable[lane] = _front(messages, removable)
        if len(messages) == PEEKED and not (sight.candidate and sight.candidate.lane is lane):
            await self._look_into_backlog(lane, sight)

    async def _look_into_backlog(self, lane: Priority, sight: Sight) -> None:
        """Look at the lane's open ingestions, oldest first, because no peeked message has a batch that may start."""
        await self._refresh_backlog()
        mine = [row for row in self._open if row.priority is lane]
        rows = [row for row in mine if row.ingestion_id not in self._ended and row.ingestion_id not in sight.read]
        for group in _groups(rows):
            for seen in await asyncio.gather(*(self._see_row(lane, row) for row in group)):
                if seen is not None:
                    self._consider(lane, seen, sight)
            if sight.candidate and sight.candidate.lane is lane and not self._running.api.is_down:
                return

    async def _refresh_backlog(self) -> None:
        now = self._clock.monotonic()
        if self._open_read_at is None or now - self._open_read_at >= BACKLOG_SECONDS:
            self._open = await self._backlog.everything()
            self._open_read_at = self._clock.monotonic()

    async def _see(self, lane: Priority, message: Message) -> Seen | Removable | None:
        """Read the ingestion of a message; None if all its open batches run in this process."""
        ticket = ticket_of(message)
        if ticket is None:
            return Removable(message=message, poison_reason="it is not a message of this service")
        try:
            seen = await self._read(lane, ticket)
        except NotFound:
            return Removable(message=message, poison_reason="its ingestion does not exist")
        except UnreadableRow as error:
            return Removable(message=message, poison_reason=str(error))
        return Removable(message=message) if isinstance(seen, _NothingLeft) else seen

    async def _see_row(self, lane: Priority, row: OpenIngestion) -> Seen | None:
        """Read the ingestion of a backlog row; None if it has ended, cannot be read, or has all its batches here."""
        try:
            seen = await self._read(lane, Ticket(ingestion_id=row.ingestion_id, generation=row.generation))
        except (NotFound, UnreadableRow):
            return None
        return None if isinstance(seen, _NothingLeft) else seen

    async def _read(self, lane: Priority, ticket: Ticket) -> "Seen | _NothingLeft | None":
        """Read an ingestion. No read is needed if it is known to have ended, or if all its open batches run here."""
        if ticket.ingestion_id in self._ended:
            return _NOTHING_LEFT
        known = self._ingestions.latest(ticket.ingestion_id)
        if known and self._runs_here(known):
            return None
        seen = await self._ingestions.read_next(ticket.ingestion_id, self.may_start)
        ingestion = seen.ingestion if isinstance(seen, NextBatch) else seen.value
        if ingestion.has_ended:
            self._remember_end(ticket.ingestion_id)
            return _NOTHING_LEFT
        is_stale = ticket.generation < ingestion.generation or lane is not ingestion.priority
        return _NOTHING_LEFT if is_stale else seen

    def _runs_here(self, ingestion: Ingestion) -> bool:
        everything_started = ingestion.started_batches >= ingestion.batch_count
        here = self._running.batches_of(ingestion.ingestion_id)
        return everything_started and bool(here) and all(flight.index in here for flight in ingestion.in_flight)

    def _remember_end(self, ingestion_id: UUID) -> None:
        self._ended[ingestion_id] = None
        while len(self._ended) > REMEMBERED_ENDS:
            self._ended.popitem(last=False)

    def _consider(self, lane: Priority, seen: Version[Ingestion] | NextBatch, sight: Sight) -> None:
        """Add an open ingestion to the result: its candidate, what it waits for, and its abandoned batches."""
        ingestion = seen.ingestion if isinstance(seen, NextBatch) else seen.value
        sight.read.add(ingestion.ingestion_id)
        here = self._running.batches_of(ingestion.ingestion_id)
        elsewhere = [flight for flight in ingestion.in_flight if flight.index not in here]
        sight.waits = sight.waits or bool(elsewhere)
        sight.greatest_age = max([sight.greatest_age, *(flight.age for flight in ingestion.in_flight)])
        if ingestion.cancel_requested_at and any(flight.is_abandoned(self._gate.age()) for flight in elsewhere):
            sight.abandoned.append(ingestion)
        if not isinstance(seen, NextBatch):
            return
        candidate = Candidate(lane=lane, batch=seen)
        if sight.candidate is None or (self._running.api.is_down and candidate.attempts < sight.candidate.attempts):
            sight.candidate = candidate


class _NothingLeft:
    """The ingestion has ended, or the message is stale."""


_NOTHING_LEFT = _NothingLeft()


def _groups(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    """Yield the first item alone, because it most often has the batch; then groups of several items."""
    yield items[:1]
    for start in range(1, len(items), READ_TOGETHER):
        yield items[start : start + READ_TOGETHER]


def _front(messages: Sequence[Message], removable: Mapping[str, Removable]) -> list[Removable]:
    """The removable messages before the first message that must stay, in the order of the queue."""
    front = []
    for message in messages:
        if message.message_id not in removable:
            break
        front.append(removable[message.message_id])
    return front
