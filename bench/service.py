"""The service in this process: its core on a real Azurite, with a clock that skips what is slept."""

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from ingest_core.adapters.azure import AzureStorage
from ingest_core.adapters.azure_connection import Connect, connect
from ingest_core.adapters.source_simulated import SimulatedSource
from ingest_core.app import Core, assemble
from ingest_core.settings import read_settings


class SkippingClock:
    """This machine's clock, but sleeping takes no time: the clock is put forward instead."""

    def __init__(self) -> None:
        self._skipped = 0.0

    def monotonic(self) -> float:
        """Seconds, those slept included."""
        return time.monotonic() + self._skipped

    def now(self) -> datetime:
        """The wall clock, put forward as well."""
        return datetime.now(UTC) + timedelta(seconds=self._skipped)

    async def sleep(self, seconds: float) -> None:
        """Let others run, and put the clock forward."""
        await asyncio.sleep(0)
        self._skipped += max(0.0, seconds)


@dataclass(frozen=True, kw_only=True)
class Service:
    """The core, and its storage by the adapter's own type."""

    core: Core
    storage: AzureStorage


def service_on(connection_string: str, *, transport: Connect = connect) -> Service:
    """The service wired to an Azurite, with a source that answers at once."""
    clock = SkippingClock()
    storage = AzureStorage(connection_string, transport=transport)
    settings = read_settings({"AzureWebJobsStorage": connection_string})
    source = SimulatedSource(clock=clock, delay_seconds=0)
    return Service(core=assemble(settings, storage=storage, source=source, clock=clock), storage=storage)
