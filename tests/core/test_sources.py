"""The contract that every source keeps, and how the settings choose one."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator

import pytest

from ingest_core.clock import SystemClock
from ingest_core.errors import AttemptFailed, InvalidSettings, ItemRejected, SourceError, SourceUnavailable
from ingest_core.ports import RESULT_BYTES, Answer, Source
from ingest_core.source.choose import make_source
from ingest_core.source.simulated import SimulatedSource
from tests.core.api_server import ApiServer, Behaviour
from tests.core.custom_sources import FAILED, REJECTED, SILENT, THROTTLED, error_of

PATIENCE_SECONDS = 20  # long beyond need: only a hanging test reaches it
SOURCES = ("simulated", "http", "tests.core.custom_sources:PerId", "tests.core.custom_sources:PerBatch")


def make(name: str, **changes: object) -> Source:
    """The source that settings with this name and otherwise defaults make."""
    options: dict[str, object] = {
        "batch_size": 3, "timeout_seconds": 10, "delay_seconds": 0, "url_template": "", "headers": "", "environ": {},
    }  # fmt: skip
    return make_source(name=name, clock=SystemClock(), **{**options, **changes})


@pytest.fixture
async def api() -> AsyncIterator[ApiServer]:
    """The external API."""
    async with ApiServer() as server:
        for status in (REJECTED, FAILED, THROTTLED):
            server.behave(Behaviour(status=status, headers={"Retry-After": "7"}), item_id=status)
        server.behave(Behaviour(delay_seconds=3600), item_id=SILENT)
        yield server


@pytest.fixture(params=SOURCES)
async def source(request: pytest.FixtureRequest, api: ApiServer) -> AsyncIterator[Source]:
    """Each kind of source, in front of an API that behaves the same."""

    async def behave(item_id: int) -> None:
        if item_id == SILENT:
            await asyncio.Event().wait()
        if error := error_of(item_id):
            raise error

    if request.param == "simulated":
        source: Source = SimulatedSource(clock=SystemClock(), delay_seconds=0, before_answer=behave)
    else:
        source = make(request.param, url_template=f"{api.url}/items/{{id}}")
    yield source
    await source.close()


async def fetch(source: Source, *ids: int, timeout_seconds: float = PATIENCE_SECONDS) -> list[Answer]:
    """The answers for these IDs, each of which keeps the promises of the port."""
    answers = list(await source.fetch_batch(ids, timeout_seconds=timeout_seconds))
    assert len(answers) == len(ids)
    for answer in answers:
        assert str(answer).isprintable()
        assert type(answer) in (str, ItemRejected, AttemptFailed, SourceUnavailable)
    return answers


async def test_answers_are_compact_json_in_the_order_of_the_ids(source: Source) -> None:
    """An ID that stands there twice has two answers."""
    answers = await fetch(source, 3, 1, 3)
    assert [json.loads(str(answer))["id"] for answer in answers] == [3, 1, 3]
    for answer in answers:
        assert str(answer).isascii()
        assert json.dumps(json.loads(str(answer)), separators=(",", ":")) == answer


async def test_each_id_has_its_own_error(source: Source) -> None:
    """One that fails leaves the others alone."""
    answers = await fetch(source, 1, REJECTED, FAILED, THROTTLED, 2)
    assert [type(answer) for answer in answers] == [str, ItemRejected, AttemptFailed, SourceUnavailable, str]
    assert isinstance(answers[3], SourceUnavailable)
    assert answers[3].retry_after_seconds == 7


async def test_an_id_without_an_answer_in_time_costs_an_attempt(source: Source, request: pytest.FixtureRequest) -> None:
    """Other IDs keep what has come, unless all were asked for in one call."""
    answers = await fetch(source, 1, SILENT, timeout_seconds=0.3)
    late = answers if request.node.callspec.params["source"].endswith("PerBatch") else answers[1:]
    assert [str(answer) for answer in late] == ["the source did not answer within 0.3 s"] * len(late)
    assert {type(answer) for answer in late} == {AttemptFailed}
    if len(late) == 1:
        assert isinstance(answers[0], str)


async def test_a_cancelled_fetch_is_cancelled(source: Source) -> None:
    """At once, and the source can be used again."""
    fetching = asyncio.create_task(fetch(source, 1, SILENT, timeout_seconds=3600))
    await asyncio.sleep(0.05)
    fetching.cancel()
    with pytest.raises(asyncio.CancelledError):
        async with asyncio.timeout(PATIENCE_SECONDS):
            await fetching
    assert isinstance((await fetch(source, 2))[0], str)


async def test_closing_is_safe_at_any_time(source: Source) -> None:
    """Before the first fetch and twice; a later fetch begins anew."""
    await source.close()
    await fetch(source, 1)
    await source.close()
    await source.close()
    assert isinstance((await fetch(source, 2))[0], str)


async def test_without_settings_the_source_is_simulated() -> None:
    """The service runs with nothing else at hand."""
    assert isinstance(make("simulated"), SimulatedSource)


async def test_the_headers_of_the_settings_reach_the_api(api: ApiServer) -> None:
    """Without them it would let nobody in."""
    headers = '{"Authorization": "Bearer abc", "X-Tenant": "7"}'
    source = make("http", url_template=f"{api.url}/items/{{id}}", headers=headers)
    await fetch(source, 1)
    await source.close()
    [request] = api.requests
    assert (request.headers["authorization"], request.headers["x-tenant"]) == ("Bearer abc", "7")


@pytest.mark.parametrize("batch_size", [1, 3, 100])
async def test_an_answer_may_fill_its_share_of_a_row_and_no_more(api: ApiServer, batch_size: int) -> None:
    """The share of one ID among a batch's."""
    share = RESULT_BYTES // batch_size
    api.behave(Behaviour(size=share), item_id=1)
    api.behave(Behaviour(size=share + 1), item_id=2)
    source = make("http", url_template=f"{api.url}/items/{{id}}", batch_size=batch_size)
    fits, too_large = await fetch(source, 1, 2)
    await source.close()
    assert isinstance(fits, str)
    assert len(fits) == share
    assert isinstance(too_large, ItemRejected)


async def test_a_host_that_swallows_everything_is_given_up_before_the_batch_is() -> None:
    """An outage is no slow answer, and costs no attempt: here the TLS handshake never goes on."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"https://127.0.0.1:{silent.getsockname()[1]}/{{id}}"
        source = make("http", url_template=url, timeout_seconds=0.6)
        answers = await fetch(source, 1, 2, 3, timeout_seconds=0.6)
    await source.close()
    assert [type(answer) for answer in answers] == [SourceUnavailable] * 3


async def test_the_proxy_of_the_environment_is_used(api: ApiServer) -> None:
    """It gets the whole address, and the user name and password of its own address."""
    environ = {"HTTP_PROXY": api.url.replace("://", "://user:word@")}
    source = make("http", url_template="http://api.example.test/items/{id}", environ=environ)
    assert isinstance((await fetch(source, 7))[0], str)
    await source.close()
    [request] = api.requests
    assert request.target == "http://api.example.test/items/7"
    assert request.headers["host"] == "api.example.test"
    assert request.headers["proxy-authorization"] == "Basic dXNlcjp3b3Jk"


async def test_a_local_api_is_asked_directly(api: ApiServer) -> None:
    """Whatever the environment says."""
    environ = {"HTTP_PROXY": "http://proxy.example.test:9"}
    source = make("http", url_template=f"{api.url}/items/{{id}}", environ=environ)
    assert isinstance((await fetch(source, 7))[0], str)
    await source.close()
    assert api.requests[0].target == "/items/7"


async def failure_through(proxy: str, url_template: str = "https://api.example.test/{id}") -> SourceError:
    """The error of a fetch through a proxy whose address holds a secret."""
    environ = {"https_proxy": proxy.replace("://", "://user:secret@"), "http_proxy": proxy}
    source = make("http", url_template=url_template, environ=environ)
    [answer] = await fetch(source, 7)
    await source.close()
    assert isinstance(answer, SourceUnavailable)
    assert "secret" not in str(answer)
    assert proxy not in str(answer)
    return answer


async def test_a_proxy_that_cannot_be_reached_is_named_by_its_variable() -> None:
    """The API itself may be fine."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        proxy = f"http://127.0.0.1:{unused.getsockname()[1]}"
        error = await failure_through(proxy)
        assert str(error) == "cannot connect to the proxy that https_proxy names: Connection refused"
        assert "http_proxy" in str(await failure_through(proxy, "http://api.example.test/{id}"))


async def test_a_proxy_that_refuses_costs_nothing() -> None:
    """A 407 or 403 to `CONNECT` says nothing of any ID."""
    heads = []

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        error = await failure_through(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    assert "https://api.example.test through the proxy that https_proxy names: the proxy answered 407" in str(error)
    assert heads[0].startswith(b"CONNECT api.example.test:443 ")
    assert b"Proxy-Authorization: Basic " in heads[0]


async def test_a_proxy_that_is_none_is_a_setting_error() -> None:
    """Its value is not repeated."""
    with pytest.raises(InvalidSettings) as caught:
        make("http", url_template="https://a.example/{id}", environ={"HTTPS_PROXY": "socks5://secret@p:1"})
    assert caught.value.problems == ("HTTPS_PROXY: must be the http:// or https:// address of a proxy",)
