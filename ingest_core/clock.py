"""Time as this machine tells it."""

import asyncio
import time
from datetime import UTC, datetime

_BOOT_TIME = getattr(time, "CLOCK_BOOTTIME", None)


class SystemClock:
    """The clocks of this machine."""

    def monotonic(self) -> float:
        # It goes on while a laptop is suspended, so that an old view of the gate never passes for a fresh one.
        return time.monotonic() if _BOOT_TIME is None else time.clock_gettime(_BOOT_TIME)

    def now(self) -> datetime:
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
