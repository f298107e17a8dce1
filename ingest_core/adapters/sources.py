"""The source that the settings choose."""

from ingest_core.adapters.source_http import HttpSource
from ingest_core.adapters.source_simulated import SimulatedSource
from ingest_core.ports import Clock, Source
from ingest_core.settings import Settings
from ingest_core.source_request import parse_headers

ROW_BYTES_FOR_RESULTS = 900 * 1024
"""Of the 1 MiB that a table entity holds; a batch row keeps the answers for all of its IDs whole."""


def make_source(settings: Settings, clock: Clock) -> Source:
    """The simulated source, or the HTTP API."""
    if settings.source == "simulated":
        return SimulatedSource(clock=clock, delay_seconds=settings.source_delay)
    return HttpSource(
        url_template=settings.source_url,
        headers=parse_headers(settings.source_headers),
        max_answer_bytes=ROW_BYTES_FOR_RESULTS // settings.batch_size,
        connect_timeout_seconds=settings.source_timeout / 2,  # a host that swallows packets is not reached
        clock=clock,
    )
