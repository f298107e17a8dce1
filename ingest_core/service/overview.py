"""What waits, what runs and when it will be over: one look at the gate, the backlog and the front of each lane.

It costs a read of the gate's row, a query of the backlog, and in each lane the rows down to the first list that was
never started: behind that list the backlog rows say enough. The result is kept for a second.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from ingest_core.errors import NotFound, UnreadableRow
from ingest_core.models import Flight, Ingestion, Priority
from ingest_core.ports import Clock
from ingest_core.service.forecast import Forecast, Pace, Waiting, forecasts, new_list_starts_at
from ingest_core.service.gate_view import GateView, read_gate_view
from ingest_core.storage.backlog import OpenIngestion
from ingest_core.storage.stores import Stores

KEPT_SECONDS = 1.0


@dataclass(frozen=True, kw_only=True)
class Running:
    """A batch whose fetch is under way."""

    ingestion: Ingestion
    flight: Flight


@dataclass(frozen=True, kw_only=True)
class Lane:
    """What waits in one lane. `front` are the ingestions down to the first one that was never started."""

    ingestions: int
    batches: int
    oldest_at: datetime | None
    new_list_starts_at: datetime | None
    front: Sequence[Ingestion]


@dataclass(frozen=True, kw_only=True)
class Overview:
    """How everything stands. An open ingestion without a forecast waits for a person to resume its lane."""

    now: datetime
    gate: GateView
    lanes: Mapping[Priority, Lane]
    running: Sequence[Running]
    forecasts: Mapping[UUID, Forecast | None]


class Overviews:
    """Looks, and keeps the result for a second. Every method raises `StorageUnavailable`."""

    def __init__(self, stores: Stores, *, clock: Clock, interval: float) -> None:
        self._ingestions = stores.ingestions
        self._backlog = stores.backlog
        self._gate_table = stores.gate
        self._clock = clock
        self._interval = interval
        self._kept: Overview | None = None
        self._kept_until = 0.0
        self._writes = 0
        self._lock = asyncio.Lock()

    def drop(self) -> None:
        """Forget the last result, after an own write that changes it."""
        self._kept = None
        self._writes += 1

    async def latest(self, *, including: UUID | None = None) -> Overview:
        """How everything stands, at most a second ago. It includes this ingestion, if that is open."""
        async with self._lock:  # calls at the same time share one look
            is_fresh = self._kept and self._clock.monotonic() < self._kept_until
            if self._kept and is_fresh and (including is None or including in self._kept.forecasts):
                return self._kept
            looked_at, writes = self._clock.monotonic(), self._writes
            overview = await self._look()
            if writes == self._writes:  # otherwise it may lack an own write
                self._kept, self._kept_until = overview, looked_at + KEPT_SECONDS
            return overview

    async def _look(self) -> Overview:
        now = self._clock.now()
        gate, everything = await asyncio.gather(
            read_gate_view(self._gate_table, now=now, interval=self._interval), self._backlog.everything()
        )
        fronts = await asyncio.gather(*(self._front(lane, everything) for lane in Priority))
        read = {key: ingestion for front in fronts for key, ingestion in front.items()}
        queue = [waiting for row in everything if (waiting := _waiting(row, read))]
        pace = Pace(next_slot_at=gate.next_slot_at, interval=timedelta(seconds=self._interval), pauses=gate.pauses)
        return Overview(
            now=now,
            gate=gate,
            lanes={lane: _lane(lane, everything, read, queue, pace) for lane in Priority},
            running=_running(filter(None, read.values()), gate.age),
            forecasts=forecasts(queue, pace),
        )

    async def _front(self, lane: Priority, everything: Sequence[OpenIngestion]) -> dict[UUID, Ingestion | None]:
        """Read a lane's ingestions down to the first one that was never started; None for those that cannot be read."""
        front: dict[UUID, Ingestion | None] = {}
        for row in everything:
            if row.priority is not lane:
                continue
            try:
                ingestion = (await self._ingestions.read(row.ingestion_id)).value
            except (NotFound, UnreadableRow):  # it never starts, and upkeep removes its backlog row
                front[row.ingestion_id] = None
                continue
            front[row.ingestion_id] = ingestion
            if not ingestion.started_batches and not ingestion.has_ended:
                break
        return front


def _lane(
    lane: Priority,
    everything: Sequence[OpenIngestion],
    read: Mapping[UUID, Ingestion | None],
    queue: Sequence[Waiting],
    pace: Pace,
) -> Lane:
    mine = [waiting for waiting in queue if waiting.lane is lane]
    open_here = {waiting.ingestion_id for waiting in mine}
    return Lane(
        ingestions=len(mine),
        batches=sum(waiting.batches for waiting in mine),
        oldest_at=min((row.queued_at for row in everything if row.ingestion_id in open_here), default=None),
        new_list_starts_at=new_list_starts_at(lane, queue, pace),
        front=[ingestion for key, ingestion in read.items() if ingestion and key in open_here],
    )


def _waiting(row: OpenIngestion, read: Mapping[UUID, Ingestion | None]) -> Waiting | None:
    """An open ingestion from its row, or from its backlog row if its row was not read; None if nothing will start."""
    if row.ingestion_id not in read:
        return Waiting(ingestion_id=row.ingestion_id, lane=row.priority, batches=row.batches_left)
    ingestion = read[row.ingestion_id]
    if ingestion is None or ingestion.has_ended:
        return None
    return Waiting(
        ingestion_id=row.ingestion_id,
        lane=ingestion.priority,
        batches=ingestion.batches_to_start,
        started_at=max((flight.started_at for flight in ingestion.in_flight), default=None),
    )


def _running(ingestions: Iterable[Ingestion], age: float) -> list[Running]:
    running = [
        Running(ingestion=ingestion, flight=flight)
        for ingestion in ingestions
        for flight in ingestion.in_flight
        if flight.running and not flight.is_abandoned(age)
    ]
    return sorted(running, key=lambda batch: batch.flight.started_at)
