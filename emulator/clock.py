"""The two clocks of the machine. Waiting is monotonic; the wall clock, which people set, only says when it is due."""

import asyncio
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Protocol

SMALLEST_JUMP = timedelta(seconds=1)  # a smaller difference comes from a clock that is adjusted, not set


class Clock(Protocol):
    """What timers need of time."""

    def now(self) -> datetime:
        """Return the wall clock's time, in UTC."""

    def monotonic(self) -> float:
        """Return seconds that only grow."""

    async def wait(self, event: asyncio.Event, seconds: float) -> None:
        """Wait for the event, but at most so many monotonic seconds."""


class SystemClock:
    """The machine's clocks."""

    def now(self) -> datetime:  # noqa: D102 - the protocol says it
        return datetime.now(UTC)

    def monotonic(self) -> float:  # noqa: D102 - as above
        return time.monotonic()

    async def wait(self, event: asyncio.Event, seconds: float) -> None:  # noqa: D102 - as above
        with suppress(TimeoutError):
            await asyncio.wait_for(event.wait(), seconds)


class JumpDetector:
    """Notices that the wall clock was set, as the monotonic clock was not."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._epoch = self._measure_epoch()

    def jump(self) -> timedelta:
        """Return how far the wall clock was set since the last call: forward, back (below zero), or not at all."""
        before, self._epoch = self._epoch, self._measure_epoch()
        jumped = self._epoch - before
        return jumped if abs(jumped) >= SMALLEST_JUMP else timedelta()

    def _measure_epoch(self) -> datetime:
        """Return the wall clock's time at which the monotonic clock was zero."""
        return self._clock.now() - timedelta(seconds=self._clock.monotonic())
