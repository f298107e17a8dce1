"""Tests of how the settings make a source."""

import socket
from collections.abc import AsyncIterator

import pytest

from ingest_core.adapters.clock import SystemClock
from ingest_core.adapters.source_simulated import SimulatedSource
from ingest_core.adapters.sources import make_source
from ingest_core.attempt import Held, attempt
from ingest_core.errors import ItemRejected
from ingest_core.ports import Source
from ingest_core.rows import RESULT_BYTES
from tests.core.api_server import ApiServer, Behaviour
from tests.support.fakes import make_settings


@pytest.fixture
async def api() -> AsyncIterator[ApiServer]:
    """The external API."""
    async with ApiServer() as server:
        yield server


def source_of(url: str, **settings: object) -> Source:
    """The source of a service that asks this API."""
    return make_source(make_settings(source="http", source_url=f"{url}/items/{{id}}", **settings), SystemClock())


async def test_without_settings_the_source_is_simulated() -> None:
    """The service runs with nothing else at hand."""
    assert isinstance(make_source(make_settings(), SystemClock()), SimulatedSource)


async def test_the_headers_of_the_settings_reach_the_api(api: ApiServer) -> None:
    """Without them it would let nobody in."""
    source = source_of(api.url, source_headers='{"Authorization": "Bearer abc", "X-Tenant": "7"}')
    await source.fetch(1)
    await source.close()
    [request] = api.requests
    assert (request.headers["authorization"], request.headers["x-tenant"]) == ("Bearer abc", "7")


@pytest.mark.parametrize("batch_size", [1, 3, 100])
async def test_an_answer_may_fill_its_share_of_a_row_and_no_more(api: ApiServer, batch_size: int) -> None:
    """The share of one ID among a batch's."""
    share = RESULT_BYTES // batch_size
    api.behave(Behaviour(size=share), item_id=1)
    api.behave(Behaviour(size=share + 1), item_id=2)
    source = source_of(api.url, batch_size=batch_size)
    assert len(await source.fetch(1)) == share
    with pytest.raises(ItemRejected):
        await source.fetch(2)
    await source.close()


async def test_a_host_that_swallows_everything_is_given_up_before_the_batch_is() -> None:
    """An outage is no slow answer, and costs no attempt: here the TLS handshake never goes on."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        source = source_of(f"https://127.0.0.1:{silent.getsockname()[1]}", source_timeout=0.6)
        found = await attempt(source, [1, 2, 3], timeout_seconds=0.6)
    await source.close()
    assert isinstance(found, Held)
