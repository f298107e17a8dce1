"""The forecast beside what happens: hosts drain a mixed backlog, and every start comes when it was forecast."""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta
from uuid import UUID

import pytest

from ingest_core.errors import SourceUnavailable
from ingest_core.models import IngestRequest, Priority
from ingest_core.service.forecast import Forecast
from ingest_core.storage.gate_row import EVERYTHING
from tests.support.dispatching import Api, World, in_virtual_time, keep_ticking, service_on
from tests.support.virtual_time import EPOCH, HostClock, true_time

HIGH, MEDIUM, LOW = Priority

BETWEEN_LOOKS, BETWEEN_TICKS = timedelta(seconds=1), timedelta(seconds=5)
"""A start is never early. It may be late by the time until somebody looks: while a tick goes on, a second at most;
after a time in which nothing could start, until the next tick."""


class Room:
    """A service and a host over one account."""

    def __init__(self, *, seconds: float = 0.05) -> None:
        self.world = World()
        self.clock = HostClock()
        self.api = Api(seconds=seconds)
        self.host = self.world.host(self.api, clock=self.clock, max_in_flight=8)
        self.service = service_on(self.host)
        self.first_ids: dict[UUID, list[int]] = {}
        self._next = 1

    async def post(self, lane: Priority, batches: int) -> UUID:
        """Accept a list of so many batches, whose IDs nothing else has."""
        ids = range(self._next, self._next + 3 * batches)
        self._next += 3 * batches
        ingestion_id = await self.service.accept(IngestRequest(ids=ids, priority=lane))
        self.first_ids[ingestion_id] = list(ids[::3])
        return ingestion_id

    async def forecasts(self) -> dict[UUID, Forecast]:
        """What is forecast now for every list that has a batch to start."""
        await asyncio.sleep(1.1)  # the host has written since the last look
        found = (await self.service.overview()).forecasts
        return {key: forecast for key, forecast in found.items() if forecast and forecast.ends_at > self.clock.now()}

    def starts(self, ingestion_id: UUID, after: datetime) -> list[datetime]:
        """When batches of a list have started, after a moment."""
        own = set(self.first_ids[ingestion_id])
        starts = [EPOCH + timedelta(seconds=fetch.at) for fetch in self.api.fetches if fetch.ids[0] in own]
        return [start for start in starts if start > after]

    async def assert_it_happens(self, late: timedelta) -> None:
        """Forecast now, drain everything, compare."""
        forecasts, now = await self.forecasts(), self.clock.now()
        assert forecasts
        await keep_ticking(self.host, until=true_time() + 1000)
        for ingestion_id, forecast in forecasts.items():
            starts = self.starts(ingestion_id, now)
            for forecast_at, started_at in ((forecast.starts_at, starts[0]), (forecast.ends_at, starts[-1])):
                assert timedelta(seconds=-0.01) <= started_at - forecast_at <= late, (forecast, starts)


Scene = Callable[[Room], Coroutine[object, object, None]]


async def nothing_else(room: Room) -> None:
    """The backlog alone."""
    await keep_ticking(room.host, until=true_time() + 12)


async def throttled(room: Room) -> None:
    """The API asks to wait for half a minute."""
    answers = [SourceUnavailable("the API answered 429", retry_after_seconds=30)]
    answer = room.api.answer
    room.api.answer = lambda item_id: answers.pop() if answers else answer(item_id)
    await keep_ticking(room.host, until=true_time() + 12)


async def lane_paused(room: Room) -> None:
    """The highest lane is paused for a while."""
    await keep_ticking(room.host, until=true_time() + 7)
    await room.service.pause(HIGH, until=room.clock.now() + timedelta(seconds=43))


async def all_paused(room: Room) -> None:
    """Everything is paused for a while, a lane for longer."""
    await room.service.pause(MEDIUM, until=room.clock.now() + timedelta(seconds=61))
    await room.service.pause(EVERYTHING, until=room.clock.now() + timedelta(seconds=22))
    await keep_ticking(room.host, until=true_time() + 7)


@pytest.mark.parametrize(
    ("scene", "late"),
    [
        (nothing_else, BETWEEN_LOOKS),
        (throttled, BETWEEN_LOOKS),
        (lane_paused, BETWEEN_LOOKS),
        (all_paused, BETWEEN_TICKS),
    ],
)
@pytest.mark.parametrize("seconds", [0.05, 12.0])
def test_every_list_starts_and_ends_when_it_was_forecast(scene: Scene, late: timedelta, seconds: float) -> None:
    """Also while batches run for longer than the interval."""

    @in_virtual_time
    async def drain() -> None:
        room = Room(seconds=seconds)
        for lane, batches in ((LOW, 3), (HIGH, 4), (MEDIUM, 2), (HIGH, 1), (LOW, 5), (MEDIUM, 6), (LOW, 1)):
            await room.post(lane, batches)
            await asyncio.sleep(0.01)
        await scene(room)
        await room.assert_it_happens(late)

    drain()
