"""Runs ticks. A tick starts batches, each in its own slot.

    look at the gate ─▶ look into the lanes ─▶ take the gate ─▶ mark the batch ─▶ send it when due ─▶ sweep the fronts

A tick goes on while a batch is running or the next slot is due within a second. It ends after at most a minute. Batches
that still run are handed over to the next tick of the process. If a process dies between two steps, the batch keeps its
place: the message stays in its queue until the ingestion has ended, and a mark says only that a start was tried. So the
API may get a batch twice (at-least-once), but the batch's end is written once, by the process that started it last.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from ingest_core.dispatch.gate import Gate
from ingest_core.dispatch.look import Candidate, Look, Sight
from ingest_core.dispatch.running import Running
from ingest_core.dispatch.settlement import MAX_UNRECORDED_STARTS, StartedBatch, failed_for_good
from ingest_core.dispatch.slots import LONGEST_LEAD_SECONDS, LONGEST_WAIT_SECONDS
from ingest_core.dispatch.sweep import Sweep
from ingest_core.errors import NotFound, StorageUnavailable, UnreadableRow
from ingest_core.models import Ingestion, Item
from ingest_core.ports import Clock
from ingest_core.storage.stores import Stores

log = logging.getLogger(__name__)

TICK_SECONDS = 60.0
"""A tick ends after this long. The host then fires the next tick at once."""

GO_ON_SECONDS = 1.0
"""A tick goes on if the next slot is due within this time, and looks again at least this often."""

NEAR_SECONDS = 0.5
"""While batches run, the tick waits for a slot that is due within this time. Otherwise it waits for a batch to end."""


class Tick(StrEnum):
    """Why a tick ended."""

    ALREADY_RUNNING = "already_running"
    ORPHANED = "orphaned"
    IDLE = "idle"
    NOT_DUE = "not_due"
    HANDED_OVER = "handed_over"


@dataclass(frozen=True)
class Nothing:
    """No batch may start now."""


@dataclass(frozen=True)
class Far:
    """The slot is due only after this many seconds."""

    seconds: float


@dataclass(frozen=True)
class Again:
    """The state has changed, so look again. `started` says whether a batch was sent."""

    started: bool = False


Step = Nothing | Far | Again


class Dispatcher:
    """Runs ticks, one at a time."""

    def __init__(
        self,
        stores: Stores,
        *,
        gate: Gate,
        look: Look,
        running: Running,
        clock: Clock,
        lease_seconds: float,
        max_in_flight: int,
        is_orphaned: Callable[[], bool] = lambda: False,
    ) -> None:
        self._gate = gate
        self._look = look
        self._running = running
        self._ingestions = stores.ingestions
        self._sweep = Sweep(stores, gate=gate, clock=clock)
        self._clock = clock
        self._lease_seconds = lease_seconds
        self._max_in_flight = max_in_flight
        self._is_orphaned = is_orphaned
        self._is_ticking = False
        self._lead = LONGEST_LEAD_SECONDS / 8

    async def tick(self) -> Tick:
        """Start batches while there is a reason to go on. Raises `StorageUnavailable`."""
        if self._is_ticking:
            return Tick.ALREADY_RUNNING
        self._is_ticking = True
        try:
            return await self._tick()
        finally:
            self._log_lines()
            self._is_ticking = False

    @property
    def running(self) -> int:
        """How many batches this process runs."""
        return len(self._running)

    async def gate_age(self) -> float:
        """The gate's age now. Raises `StorageUnavailable`."""
        await self._gate.look()
        return self._gate.age()

    async def stop(self) -> None:
        """Stop all batches and remove their marks."""
        await self._running.stop()

    async def _tick(self) -> Tick:
        ends_at = self._clock.monotonic() + TICK_SECONDS
        patience = LONGEST_WAIT_SECONDS  # for the first slot; later slots must be nearer
        outcome = Tick.HANDED_OVER
        while self._clock.monotonic() < ends_at:
            self._log_lines()
            if self._is_orphaned():
                log.error("dispatch.orphaned: the host of this worker is gone, so nothing more is started")
                return Tick.ORPHANED
            if self._running.fetching >= self._max_in_flight:
                await self._running.wait(GO_ON_SECONDS)
                continue
            step = await self._step(patience)
            match step:
                case Again(started):
                    patience = GO_ON_SECONDS if started else patience
                    continue
                case Far(seconds) if self._running:
                    await self._running.wait(min(GO_ON_SECONDS, max(0.01, seconds - NEAR_SECONDS)))
                case Nothing() if self._running:
                    await self._running.wait(GO_ON_SECONDS)
                case Far():
                    outcome = Tick.NOT_DUE
                    break
                case Nothing():
                    outcome = Tick.IDLE
                    break
            patience = GO_ON_SECONDS
        await self._gate.release()
        return outcome

    async def _step(self, patience: float) -> Step:
        """Start a batch in the next slot, if that is near and a batch may start."""
        view = await self._gate.look()
        wait = self._gate.due_at() - self._clock.monotonic()
        if wait > (NEAR_SECONDS if self._running else patience):
            await self._gate.write_throttle()
            if not self._running or self._gate.is_throttled() or self._gate.has_unwritten_reasons:
                await self._gate.note()
            return Far(wait)
        if wait > self._lead and view.is_owner:
            await self._clock.sleep(wait - self._lead)
        elif wait > self._lead:
            # Another process's write counts from the moment at which it is seen, so look for it often.
            await self._clock.sleep(min(GO_ON_SECONDS, wait - self._lead))
            await self._gate.read()
            return Again()
        looked_at = self._clock.monotonic()
        sight = await self._look.look()
        if sight.greatest_age > self._gate.age():
            await self._gate.raise_age(sight.greatest_age)
            return Again()
        if sight.candidate is None:
            return await self._use_no_slot(sight)
        if self._has_too_many_starts(sight.candidate):
            self._fail(sight.candidate)
            return Again()
        return await self._use_slot(sight, sight.candidate, looked_at)

    async def _use_no_slot(self, sight: Sight) -> Step:
        """No batch may start: sweep the fronts, or write a note if a batch waits for an age."""
        await self._sweep.end_abandoned(sight)
        if any(sight.removable.values()):
            if await self._gate.take_for_sweep(self._gate.view):
                await self._sweep.remove(sight)
        elif sight.waits or self._gate.has_unwritten_reasons:
            await self._gate.note()
        return Nothing()

    async def _use_slot(self, sight: Sight, candidate: Candidate, looked_at: float) -> Step:
        """Take the gate, mark the batch, and send it when it is due."""
        if self._gate.due_at() - self._clock.monotonic() > LONGEST_LEAD_SECONDS + GO_ON_SECONDS / 2:
            return Again()  # meanwhile, the answer to another batch has throttled the gate
        if not await self._gate.take(self._gate.view, sweeps=any(sight.removable.values())):
            return Again()
        batch = await self._mark(candidate)
        if batch is None:
            return Again()
        self._lead = min(2 * (self._clock.monotonic() - looked_at), LONGEST_LEAD_SECONDS)
        started = await self._send(batch)
        await self._sweep.remove(sight)
        await self._sweep.end_abandoned(sight)
        return Again(started=started)

    async def _mark(self, candidate: Candidate) -> StartedBatch | None:
        """Write the start into the ingestion row. None if this is no longer the ingestion's next batch."""
        chosen, index = candidate.batch.ingestion, candidate.batch.index
        token, age = self._gate.token, self._gate.view.row.age
        wait = max(0.0, self._gate.due_at() - self._clock.monotonic())
        at = self._clock.now() + timedelta(seconds=wait)

        def change(ingestion: Ingestion) -> Ingestion | None:
            has_moved = ingestion.priority is not candidate.lane or ingestion.generation != chosen.generation
            if has_moved or self._look.may_start(ingestion) != index:
                return None
            return ingestion.batch_started(index, token=token, age=age, lease=self._lease_seconds, at=at)

        batch = StartedBatch(
            ingestion_id=chosen.ingestion_id,
            lane=candidate.lane,
            index=index,
            ids=candidate.batch.ids,
            token=token,
            started_at=at,
            attempts=candidate.attempts + 1,
            failures=candidate.failures,
        )
        try:
            marked = await self._ingestions.change(
                chosen.ingestion_id,
                change,
                is_own=lambda present, _: _has_token(present, index, token),
                known=candidate.batch.version,
            )
        except (NotFound, UnreadableRow):
            return None
        except (StorageUnavailable, asyncio.CancelledError):
            self._running.undo_start(batch)  # the mark may have been written
            raise
        return batch if marked else None

    async def _send(self, batch: StartedBatch) -> bool:
        """Send the batch at the due instant. False if it is too late, or if the gate was throttled meanwhile."""
        try:
            while (left := self._gate.due_at() - self._clock.monotonic()) > 0:  # a throttle may come meanwhile
                if left > LONGEST_LEAD_SECONDS + GO_ON_SECONDS:
                    break
                await self._clock.sleep(left)
        except asyncio.CancelledError:
            self._running.undo_start(batch)
            raise
        return await self._running.start(batch, may_send=lambda: self._may_send(batch))

    def _may_send(self, batch: StartedBatch) -> bool:
        is_due = self._gate.due_at() <= self._clock.monotonic()
        in_time = self._gate.has_start_budget() and not self._is_orphaned()
        return is_due and in_time and not self._gate.is_paused(batch.lane)

    def _has_too_many_starts(self, candidate: Candidate) -> bool:
        flight = candidate.batch.ingestion.flight(candidate.batch.index)
        return flight is not None and flight.unrecorded >= MAX_UNRECORDED_STARTS

    def _fail(self, candidate: Candidate) -> None:
        """Fail a batch that has probably killed each host that ran it, or whose end could never be written."""
        ingestion, index = candidate.batch.ingestion, candidate.batch.index
        flight = ingestion.flight(index)
        if flight is None:
            return
        error = f"started {flight.unrecorded} times without a recorded end"
        batch = StartedBatch(
            ingestion_id=ingestion.ingestion_id,
            lane=candidate.lane,
            index=index,
            ids=candidate.batch.ids,
            token=flight.token,
            started_at=flight.started_at,
            attempts=flight.attempts,
            failures=flight.failures,
        )
        items = [Item(item_id=item_id, error=error, is_final=False) for item_id in batch.ids]
        self._running.end(batch, failed_for_good(batch, items, error=error, now=self._clock.now()))

    def _log_lines(self) -> None:
        for line in self._running.take_lines():
            log.log(line.level, "%s", line.text)


def _has_token(ingestion: Ingestion, index: int, token: str) -> bool:
    flight = ingestion.flight(index)
    return flight is not None and flight.running and flight.token == token
