"""Makes the source that the settings name."""

from collections.abc import Mapping

from ingest_core.ports import RESULT_BYTES, Clock, Source
from ingest_core.proxies import proxy_for
from ingest_core.source.custom import CustomSource, load_class
from ingest_core.source.http import HttpSource
from ingest_core.source.request import HTTP, SIMULATED, parse_headers
from ingest_core.source.simulated import SimulatedSource


def make_source(
    *,
    name: str,
    batch_size: int,
    timeout_seconds: float,
    delay_seconds: float,
    url_template: str,
    headers: str,
    environ: Mapping[str, str],
    clock: Clock,
) -> Source:
    """Make the source `simulated`, `http` or `package.module:Name`.

    Only the simulated source uses `delay_seconds`; only the HTTP source uses `url_template`, `headers` (a JSON object)
    and the proxy variables of `environ`. Raises `InvalidSettings` if the class cannot be a source, or if the variable
    of a proxy that would be used is wrong.
    """
    if name == SIMULATED:
        return SimulatedSource(clock=clock, delay_seconds=delay_seconds)
    max_answer_bytes = RESULT_BYTES // batch_size
    if name != HTTP:
        return CustomSource(make=load_class(name), max_answer_bytes=max_answer_bytes)
    return HttpSource(
        url_template=url_template,
        headers=parse_headers(headers),
        max_answer_bytes=max_answer_bytes,
        connect_timeout_seconds=timeout_seconds / 2,  # a host that swallows packets counts as unreachable
        clock=clock,
        proxy=proxy_for(url_template, environ),
    )
