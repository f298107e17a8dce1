"""The source that the settings choose."""

from ingest_core.adapters.source_http import HttpSource
from ingest_core.adapters.source_simulated import SimulatedSource
from ingest_core.ports import Clock, Source
from ingest_core.rows import RESULT_BYTES
from ingest_core.settings import Settings
from ingest_core.source_request import parse_headers


def make_source(settings: Settings, clock: Clock) -> Source:
    """The simulated source, or the HTTP API."""
    if settings.source == "simulated":
        return SimulatedSource(clock=clock, delay_seconds=settings.source_delay)
    return HttpSource(
        url_template=settings.source_url,
        headers=parse_headers(settings.source_headers),
        max_answer_bytes=RESULT_BYTES // settings.batch_size,
        connect_timeout_seconds=settings.source_timeout / 2,  # a host that swallows packets is not reached
        clock=clock,
    )
