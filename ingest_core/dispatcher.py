"""One tick: at most one batch, the next in order, started when its slot is due and not before.

    wait for the slot ─▶ look into the lanes ─▶ take the gate ─▶ mark the batch ─▶ start it when due ─▶ settle it

The next batch is the first unfinished batch of the first ingestion in the highest lane with work, at the moment of the
last look. Whatever dies between two steps, the batch keeps its place: the message stays in its queue until the
ingestion has finished, and a mark says only that somebody began. So a batch may reach the API twice (at-least-once),
but its end is written once, by the owner of its latest mark.
"""

import logging
from dataclasses import replace
from datetime import timedelta
from enum import StrEnum

from ingest_core.attempt import attempt
from ingest_core.errors import Changed, NotFound, StorageUnavailable
from ingest_core.gate import RateGate
from ingest_core.ingestions import Ingestions, Turn
from ingest_core.lanes import Glimpse, Lanes, ingestion_of
from ingest_core.models import Priority
from ingest_core.ports import Clock, Message, Source
from ingest_core.settlement import Settlement, Work
from ingest_core.slots import LONGEST_WAIT_SECONDS, Take, Wait

log = logging.getLogger(__name__)

LONGEST_LEAD_SECONDS = 0.4
"""A start is prepared at most this long before it is due, well within the start budget."""

MAX_STARTS = 20
"""A batch that was started this often without an end, as one that kills its host, fails."""


class Tick(StrEnum):
    """What a tick came to."""

    ALREADY_RUNNING = "already_running"
    NOT_DUE = "not_due"
    IDLE = "idle"
    LOST = "lost"
    NOT_STARTED = "not_started"
    STARTED = "started"


class Dispatcher:
    """Runs ticks, one at a time."""

    def __init__(
        self,
        *,
        ingestions: Ingestions,
        lanes: Lanes,
        gate: RateGate,
        source: Source,
        source_timeout_seconds: float,
        settlement: Settlement,
        clock: Clock,
    ) -> None:
        self._ingestions = ingestions
        self._lanes = lanes
        self._gate = gate
        self._source = source
        self._source_timeout_seconds = source_timeout_seconds
        self._settlement = settlement
        self._clock = clock
        self._running = False
        self._lead = LONGEST_LEAD_SECONDS / 4

    async def tick(self) -> Tick:
        """Start at most one batch and see it through. Raises `StorageUnavailable`."""
        if self._running:
            return Tick.ALREADY_RUNNING
        self._running = True
        try:
            return await self._tick()
        finally:
            self._running = False

    async def _tick(self) -> Tick:
        due = await self._wait_for_slot()
        if due is None:
            return Tick.NOT_DUE
        looked_at = self._clock.monotonic()
        glimpse = await self._lanes.look()
        if glimpse is None:
            return Tick.IDLE
        if not await self._gate.take():
            return Tick.LOST
        started = False
        try:
            work = await self._claim(glimpse, due)
            self._lead = min(2 * (self._clock.monotonic() - looked_at), LONGEST_LEAD_SECONDS)
            if work is not None:
                started = await self._run(work, due)
        finally:
            await self._gate.give_back(started=started)
        return Tick.STARTED if started else Tick.NOT_STARTED

    async def _wait_for_slot(self) -> float | None:
        """Return when it is time to prepare: the moment from which a batch may start; None if that is too far off."""
        until = self._clock.monotonic() + LONGEST_WAIT_SECONDS
        while True:
            match await self._gate.look(lead=self._lead):
                case Take(due):
                    return due
                case Wait(seconds) if self._clock.monotonic() + seconds <= until:
                    await self._clock.sleep(seconds)  # another process may use the slot meanwhile: look again
                case _:
                    await self._gate.renew_pause()
                    return None

    async def _claim(self, glimpse: Glimpse | None, due: float) -> Work | None:
        """Find the first unfinished ingestion and mark its batch."""
        while glimpse is not None and self._gate.may_start():
            if found := await self._first_unfinished(glimpse):
                return await self._mark(found, due)
            glimpse = await self._lanes.look()  # this one had only what was to be swept away
        return None

    async def _first_unfinished(self, glimpse: Glimpse) -> Work | None:
        """Go through the messages, oldest first; sweep those away that lie at the front and stand for no work."""
        front = 0
        for position, message in glimpse.in_order():
            turn = await self._read(message)
            if turn and not turn.ingestion.finished:
                return Work(turn, glimpse.lane, message, at_front=position == front, started_at=self._clock.now())
            if position == front:
                if not await self._sweep(glimpse.lane, message, foreign=turn is None):
                    return None
                front += 1
        return None

    async def _sweep(self, lane: Priority, message: Message, *, foreign: bool) -> bool:
        """Remove the front message; False, with nothing done, once the start budget is spent: others may sweep too."""
        if foreign and self._gate.may_start():
            await self._lanes.copy_to_poison(lane, message)
        if not self._gate.may_start():
            return False
        await self._lanes.remove_front(lane, message)
        return True

    async def _read(self, message: Message) -> Turn | None:
        ingestion_id = ingestion_of(message)
        if ingestion_id is None:
            return None
        try:
            return await self._ingestions.read_turn(ingestion_id)
        except NotFound:
            return None

    async def _mark(self, work: Work, due: float) -> Work | None:
        """Write the slot into the ingestion row. Never over a higher slot: that owner is younger."""
        slot = self._gate.slot
        if work.ingestion.slot >= slot:
            log.warning("gate.outrun slot=%d: storage lost a slot; continuing after %d", slot, work.ingestion.slot)
            self._gate.outrun(work.ingestion.slot)
            return None
        wait = max(0.0, due - self._clock.monotonic())
        starts_at = self._clock.now() + timedelta(seconds=wait)
        marked = work.ingestion.triggered(slot=slot, at=starts_at)
        try:
            etag = await self._ingestions.update(marked, etag=work.turn.etag)
        except (Changed, StorageUnavailable):
            turn = await self._ingestions.read_turn(marked.ingestion_id)
            if turn.ingestion != marked:  # it was not the answer that was lost
                return None
            etag = turn.etag
        return replace(work, turn=replace(work.turn, ingestion=marked, etag=etag), started_at=starts_at)

    async def _run(self, work: Work, due: float) -> bool:
        """Start the batch at the due instant and settle what comes of it; False when it was not started."""
        if work.flight.attempts > MAX_STARTS:
            await self._settlement.wear_out(work, f"started {MAX_STARTS} times without an end")
            return False
        while (left := due - self._clock.monotonic()) > 0:  # an event loop may wake early
            await self._clock.sleep(left)
        if not self._gate.may_start():
            await self._settlement.give_up(work)
            return False
        work = replace(work, started_at=self._gate.started())
        outcome = await attempt(self._source, work.turn.ids, timeout_seconds=self._source_timeout_seconds)
        await self._settlement.settle(work, outcome)
        return True
