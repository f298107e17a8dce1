"""Time as this machine tells it."""

import asyncio
from datetime import UTC, datetime
from time import monotonic


class SystemClock:
    """The clocks of this machine."""

    def monotonic(self) -> float:
        return monotonic()

    def now(self) -> datetime:
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
