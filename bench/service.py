"""Runs the service in this process, on a real Azurite, with a clock that skips short sleeps."""

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
"""The shortest interval that the settings allow."""


class SkippingClock:
    """This machine's clock. A sleep of less than a second takes no time: it only moves the clock forward.

    So waiting for a slot takes no time. Longer sleeps are real, because they wait for something to happen meanwhile.
    """

    def __init__(self) -> None:
        self._skipped = 0.0

    def monotonic(self) -> float:
        """Seconds, including the skipped ones."""
        return time.monotonic() + self._skipped

    def now(self) -> datetime:
        """The wall clock, moved forward by the skipped seconds."""
        return datetime.now(UTC) + timedelta(seconds=self._skipped)

    def skip(self, seconds: float) -> None:
        """Move the clock forward."""
        self._skipped += max(0.0, seconds)

    async def sleep(self, seconds: float) -> None:
        """Let other tasks run and move the clock forward. Sleep for real if it is a second or more."""
        if seconds >= 1:
            await asyncio.sleep(seconds)
            return
        await asyncio.sleep(0)
        self.skip(seconds)


class PromptSource(SimulatedSource):
    """An API that answers at once, and calls `on_start` for every batch that it gets."""

    def __init__(self, clock: SkippingClock) -> None:
        super().__init__(clock=clock, delay_seconds=0)
        self.on_start: Callable[[], None] = lambda: None

    async def fetch_batch(self, ids: Sequence[int], *, timeout_seconds: float) -> Sequence[Answer]:
        """Answer at once."""
        self.on_start()
        return await super().fetch_batch(ids, timeout_seconds=timeout_seconds)


@dataclass(frozen=True, kw_only=True)
class Service:
    """The parts of the service, and the adapters with their own types."""

    parts: Parts
    storage: AzureStorage
    source: PromptSource
    clock: SkippingClock


def service_on(connection_string: str, *, transport: Connect = connect) -> Service:
    """Wire the service to an Azurite."""
    clock = SkippingClock()
    storage = AzureStorage(connection_string, transport=transport)
    settings = read_settings({"AzureWebJobsStorage": connection_string, "INGEST_INTERVAL_SECONDS": str(INTERVAL)})
    source = PromptSource(clock)
    parts = assemble(settings, storage=storage, source=source, clock=clock)
    return Service(parts=parts, storage=storage, source=source, clock=clock)
