"""Computes when each waiting ingestion starts and ends at the earliest.

The walk goes along the slots from the next one on and gives each to the first ingestion, in the highest lane that is
not paused, that still has a batch to start. Between two ends of pauses that choice is the same for all slots, so the
walk takes a step for each ingestion and each end of a pause, and none for a single slot. Attempts that are repeated and
later arrivals in higher lanes only delay what is forecast here.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

from ingest_core.models import Priority
from ingest_core.storage.gate_row import EVERYTHING, Pause


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """An ingestion that has not ended, and how many starts it needs at least."""

    ingestion_id: UUID
    lane: Priority
    batches: int
    #: The latest start of one of its batches in flight, if there is one.
    started_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What must start before the ingestion's next batch, and when its next and its last batch start at the earliest.

    If all its batches have started already, both times are that of the latest start.
    """

    ingestions_ahead: int
    batches_ahead: int
    starts_at: datetime
    ends_at: datetime


@dataclass(frozen=True, kw_only=True)
class Pace:
    """When slots come: the next one, then one in each interval; and which lanes may not use them until when."""

    next_slot_at: datetime
    interval: timedelta
    pauses: Mapping[str, Pause] = field(default_factory=dict)

    def opens_at(self, lane: Priority) -> datetime | None:
        """From when on batches of a lane may start; None if its pause has no end."""
        moment = self.next_slot_at
        for switch in (EVERYTHING, lane):
            if (pause := self.pauses.get(switch)) is None:
                continue
            if pause.until is None:
                return None
            moment = max(moment, pause.until)
        return moment


@dataclass
class _Place:
    """An ingestion during the walk."""

    waiting: Waiting
    left: int
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    ingestions_ahead: int = 0
    batches_ahead: int = 0


def forecasts(queue: Sequence[Waiting], pace: Pace) -> dict[UUID, Forecast | None]:
    """A forecast for each of these ingestions, which stand in the order in which they were queued.

    It is None while the ingestion's lane is paused without an end.
    """
    places = [_Place(waiting=waiting, left=waiting.batches) for waiting in queue]
    _walk(places, pace)
    opening = {lane: pace.opens_at(lane) for lane in Priority}
    return {place.waiting.ingestion_id: _forecast(place) if opening[place.waiting.lane] else None for place in places}


def new_list_starts_at(lane: Priority, queue: Sequence[Waiting], pace: Pace) -> datetime | None:
    """When the first batch of a list that is posted to this lane now starts; None if the lane is paused without end."""
    # The order within a lane makes no difference to it, so each lane counts as one list. Lower lanes count too: they
    # use slots while this lane is paused.
    before = []
    for number, each in enumerate(Priority):
        batches = sum(waiting.batches for waiting in queue if waiting.lane is each)
        before.append(Waiting(ingestion_id=UUID(int=number), lane=each, batches=batches))
    newcomer = Waiting(ingestion_id=UUID(int=len(Priority)), lane=lane, batches=1)
    forecast = forecasts([*before, newcomer], pace)[newcomer.ingestion_id]
    return forecast.starts_at if forecast else None


def _walk(places: Sequence[_Place], pace: Pace) -> None:
    """Give every slot to the ingestion that is served next, until all that can be forecast have their times."""
    opening = {lane: opens_at for lane in Priority if (opens_at := pace.opens_at(lane)) is not None}
    lanes = {lane: deque(place for place in places if place.waiting.lane is lane and place.left) for lane in opening}
    moment, ingestions, batches = pace.next_slot_at, 0, 0
    while any(lanes.values()):
        place = next((lanes[lane][0] for lane in lanes if lanes[lane] and opening[lane] <= moment), None)
        changes_at = min((at for at in opening.values() if at > moment), default=None)
        if place is None:
            moment = changes_at or moment  # a lane has work, so only a pause with an end delays it
            continue
        if place.starts_at is None:
            place.starts_at, place.ingestions_ahead, place.batches_ahead = moment, ingestions, batches
            ingestions += 1
        count = place.left
        if changes_at is not None:
            slots_until_change = -((moment - changes_at) // pace.interval)  # rounded up
            count = min(count, slots_until_change)
        place.left -= count
        place.ends_at = _slots_later(moment, count - 1, pace)
        batches += count
        moment = _slots_later(moment, count, pace)
        if not place.left:
            lanes[place.waiting.lane].popleft()


def _slots_later(moment: datetime, count: int, pace: Pace) -> datetime:
    """The moment `count` slots after a moment, or the last moment that there is."""
    try:
        return moment + count * pace.interval
    except OverflowError:  # a pause may end in the year 9999
        return datetime.max.replace(tzinfo=UTC)


def _forecast(place: _Place) -> Forecast | None:
    starts_at = place.starts_at or place.waiting.started_at
    ends_at = place.ends_at or place.waiting.started_at
    if starts_at is None or ends_at is None:
        return None
    return Forecast(
        ingestions_ahead=place.ingestions_ahead,
        batches_ahead=place.batches_ahead,
        starts_at=starts_at,
        ends_at=ends_at,
    )
