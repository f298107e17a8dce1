"""The service in this process: its parts on a real Azurite, with a clock that skips short sleeps."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from ingest_core.app import Parts, assemble
from ingest_core.ports import Answer
from ingest_core.settings import read_settings
from ingest_core.source.simulated import SimulatedSource
from ingest_core.storage.azure import AzureStorage
from ingest_core.storage.transport import Connect, connect

INTERVAL = 0.1
"""The shortest that the settings allow."""


class SkippingClock:
    """This machine's clock, but sleeping for less than a second takes no time: the clock is put forward instead.

    So nobody waits for a slot. Longer sleeps wait for something that happens meanwhile, so they are slept.
    """

    def __init__(self) -> None:
        self._skipped = 0.0

    def monotonic(self) -> float:
        """Seconds, those skipped included."""
        return time.monotonic() + self._skipped

    def now(self) -> datetime:
        """The wall clock, put forward as well."""
        return datetime.now(UTC) + timedelta(seconds=self._skipped)

    def skip(self, seconds: float) -> None:
        """Put the clock forward."""
        self._skipped += max(0.0, seconds)

    async def sleep(self, seconds: float) -> None:
        """Let others run, and put the clock forward; a second or more is slept."""
        if seconds >= 1:
            await asyncio.sleep(seconds)
            return
        await asyncio.sleep(0)
        self.skip(seconds)


class PromptSource(SimulatedSource):
    """An API that answers at once, and tells `on_start` of every batch that reaches it."""

    def __init__(self, clock: SkippingClock) -> None:
        super().__init__(clock=clock, delay_seconds=0)
        self.on_start: Callable[[], None] = lambda: None

    async def fetch_batch(self, ids: Sequence[int], *, timeout_seconds: float) -> Sequence[Answer]:
        """Answer at once."""
        self.on_start()
        return await super().fetch_batch(ids, timeout_seconds=timeout_seconds)


@dataclass(frozen=True, kw_only=True)
class Service:
    """The parts of the service, and those of them that are measured, by their own types."""

    parts: Parts
    storage: AzureStorage
    source: PromptSource
    clock: SkippingClock


def service_on(connection_string: str, *, transport: Connect = connect) -> Service:
    """The service wired to an Azurite."""
    clock = SkippingClock()
    storage = AzureStorage(connection_string, transport=transport)
    settings = read_settings({"AzureWebJobsStorage": connection_string, "INGEST_INTERVAL_SECONDS": str(INTERVAL)})
    source = PromptSource(clock)
    parts = assemble(settings, storage=storage, source=source, clock=clock)
    return Service(parts=parts, storage=storage, source=source, clock=clock)
