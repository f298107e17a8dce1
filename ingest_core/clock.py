"""The clocks of this machine, for the port `Clock`."""

import asyncio
import time
from datetime import UTC, datetime

FINE_SECONDS = 0.002
"""The event loop counts in whole milliseconds and wakes up late, so it is asked to wake up this much earlier."""

_BOOT_TIME = getattr(time, "CLOCK_BOOTTIME", None)


class SystemClock:
    """The clocks of this machine."""

    def monotonic(self) -> float:
        # This clock goes on while a laptop is suspended. Otherwise an old view of the gate would seem fresh afterwards.
        return time.monotonic() if _BOOT_TIME is None else time.clock_gettime(_BOOT_TIME)

    def now(self) -> datetime:
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        until = self.monotonic() + seconds
        await asyncio.sleep(seconds - FINE_SECONDS)
        # At an interval of 0.2 s, starts that are a millisecond late would waste half a percent of the slots.
        while self.monotonic() < until:  # noqa: ASYNC110 # there is no event to wait for
            await asyncio.sleep(0)
