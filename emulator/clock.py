"""The two clocks of the machine. The wall clock, which people can set, decides what is due. Waiting is monotonic."""

import asyncio
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Protocol

SMALLEST_JUMP = timedelta(seconds=1)  # smaller differences come from gradual adjustments, not from setting the clock


class Clock(Protocol):
    """The clock that timers use."""

    def now(self) -> datetime:
        """Return the wall clock's time, in UTC."""

    def monotonic(self) -> float:
        """Return the monotonic clock's time in seconds."""

    async def wait(self, event: asyncio.Event, seconds: float) -> None:
        """Wait for the event, but at most `seconds` on the monotonic clock."""


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
    """Notices that the wall clock was set, by comparing it with the monotonic clock."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._epoch = self._measure_epoch()

    def jump(self) -> timedelta:
        """Return by how much the wall clock was set since the last call: negative if it was set back, zero if not."""
        before, self._epoch = self._epoch, self._measure_epoch()
        jumped = self._epoch - before
        return jumped if abs(jumped) >= SMALLEST_JUMP else timedelta()

    def _measure_epoch(self) -> datetime:
        """Return the wall clock's time when the monotonic clock was zero."""
        return self._clock.now() - timedelta(seconds=self._clock.monotonic())
