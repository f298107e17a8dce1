"""Tests of the HTTP contract's edges and of what the app does when something is wrong."""

import json
import logging
from collections import UserDict

import pytest

from devtools.ports import free_ports
from ingest_core import api
from ingest_core.api import Answer, Handler, Request
from ingest_core.app import App, Core
from ingest_core.errors import StorageUnavailable
from tests.support.fakes import Host

BODY = b'{"ids": [1, 2, 3, 4], "priority": "HIGH"}'


def app_over(core: Core) -> App:
    """An app with a service in memory."""
    app = App({"AzureWebJobsStorage": "UseDevelopmentStorage=true"})
    app._core = core
    return app


@pytest.fixture
def host() -> Host:
    """A service in memory."""
    return Host(interval=4.2)


@pytest.fixture
def app(host: Host) -> App:
    """The app on top of it."""
    return app_over(host.core)


def assert_problem(answer: Answer, status: int) -> dict:
    """An answer in the form of RFC 9457."""
    assert (answer.status, answer.content_type) == (status, "application/problem+json")
    fields = json.loads(answer.body)
    assert fields["status"] == status
    assert fields["title"]
    assert fields["detail"]
    return fields


async def test_an_accepted_list_says_where_to_look_and_when(app: App) -> None:
    """The interval in whole seconds, rounded up."""
    answer = await app.handle(api.ingest, Request(method="POST", body=BODY))
    assert answer.status == 202
    ingestion_id = json.loads(answer.body)["ingestion_id"]
    assert answer.headers == {"Location": f"/status/{ingestion_id}", "Retry-After": "5"}


async def test_a_chunked_body_is_411(app: App) -> None:
    """The host hands over an empty body, so nothing better can be done."""
    assert_problem(await app.handle(api.ingest, Request(method="POST", headers={"transfer-encoding": "Chunked"})), 411)


@pytest.mark.parametrize(
    ("handler", "method", "allow"),
    [(api.ingest, "GET", "POST"), (api.retry, "PUT", "POST"), (api.status, "POST", "GET, HEAD")],
)
async def test_another_method_is_405(app: App, host: Host, handler: Handler, method: str, allow: str) -> None:
    """It says which methods the path serves; by itself the host would say nothing but 404."""
    answer = await app.handle(handler, Request(method=method, body=BODY))
    assert allow in assert_problem(answer, 405)["detail"]
    assert answer.headers == {"Allow": allow}
    assert host.calls == []


async def test_head_is_answered_as_get_is(app: App) -> None:
    """The host leaves the body out (RFC 9110, section 9.3.2)."""
    assert (await app.handle(api.health, Request(method="HEAD"))).status == 200


async def test_a_wrong_request_leaves_nothing_behind(app: App, host: Host) -> None:
    """Neither a row nor a message."""
    for body, headers in ((b"{}", {}), (b"x", {}), (BODY, {"idempotency-key": ""})):
        answer = await app.handle(api.ingest, Request(method="POST", body=body, headers=headers))
        assert 400 <= answer.status < 500
    assert host.calls == []


@pytest.mark.parametrize(
    "query", [{"limit": "0"}, {"limit": "1001"}, {"limit": "x"}, {"cursor": "-1"}, {"cursor": "1e3"}, {"cursor": "٣"}]
)
async def test_a_wrong_page_is_422(app: App, query: dict) -> None:
    """The answer says what the parameter may be."""
    accepted = await app.handle(api.ingest, Request(method="POST", body=BODY))
    path = json.loads(accepted.body)
    for handler in (api.batches, api.results):
        fields = assert_problem(await app.handle(handler, Request(path=path, query=query)), 422)
        assert next(iter(query)) in fields["detail"]


async def test_pages_are_linked(app: App) -> None:
    """Until there is no more."""
    path = json.loads((await app.handle(api.ingest, Request(method="POST", body=BODY))).body)
    first = await app.handle(api.batches, Request(path=path, query={"limit": "1"}))
    assert first.headers == {"Link": f'</status/{path["ingestion_id"]}/batches?cursor=1&limit=1>; rel="next"'}
    last = await app.handle(api.batches, Request(path=path, query={"limit": "1", "cursor": "1"}))
    assert last.headers == {}
    beyond = await app.handle(api.batches, Request(path=path, query={"cursor": "7"}))
    assert json.loads(beyond.body) == {"batches": []}


async def test_a_retry_names_both_ingestions(app: App, host: Host) -> None:
    """The new one, and what it is a retry of."""
    path = json.loads((await app.handle(api.ingest, Request(method="POST", body=BODY))).body)
    assert_problem(await app.handle(api.retry, Request(method="POST", path=path)), 409)
    row = host.account.table("ingestions")[path["ingestion_id"], path["ingestion_id"]]
    row.entity.update(finished_batches=2, failed=b"\2")
    answer = await app.handle(api.retry, Request(method="POST", path=path))
    assert answer.status == 202
    fields = json.loads(answer.body)
    assert fields["retry_of"] == path["ingestion_id"]
    assert answer.headers["Location"] == f"/status/{fields['ingestion_id']}"


async def test_storage_that_cannot_be_reached_is_503_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    """For every call, with Retry-After; ticks go on."""
    (port,) = free_ports(1)
    endpoint = f"http://127.0.0.1:{port}/devstoreaccount1"
    account = "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey=a2V5"
    app = App({"AzureWebJobsStorage": f"{account};QueueEndpoint={endpoint};TableEndpoint={endpoint};"})
    with caplog.at_level(logging.ERROR):
        for method, handler in (("POST", api.ingest), ("GET", api.health), ("GET", api.status)):
            path = {"ingestion_id": "00000000-0000-4000-8000-000000000000"}
            answer = await app.handle(handler, Request(method=method, body=BODY, path=path))
            assert_problem(answer, 503)
            assert answer.headers["Retry-After"] == "5"
        await app.tick()
        await app.recover()
    assert len(caplog.messages) == 5
    assert not any("\n" in message for message in caplog.messages)
    await app.close()


async def test_wrong_settings_are_named_by_every_call(caplog: pytest.LogCaptureFixture) -> None:
    """And logged once each, at start."""
    app = App({"INGEST_BATCH_SIZE": "0"})
    fields = assert_problem(await app.handle(api.health, Request()), 503)
    assert "AzureWebJobsStorage" in fields["detail"]
    assert "INGEST_BATCH_SIZE" in fields["detail"]
    await app.tick()
    assert [message.split()[1] for message in caplog.messages[:2]] == ["AzureWebJobsStorage:", "INGEST_BATCH_SIZE:"]


@pytest.mark.parametrize("text", ["secret", "AccountName=a;AccountKey=secret!;EndpointSuffix=localhost"])
async def test_a_connection_string_that_is_none_is_a_wrong_setting(text: str) -> None:
    """Found when it is first used, and reported like the others, without its text."""
    app = App({"AzureWebJobsStorage": text})
    fields = assert_problem(await app.handle(api.health, Request()), 503)
    assert "AzureWebJobsStorage" in fields["detail"]
    assert "secret" not in fields["detail"]


async def test_an_error_of_ours_is_a_problem_too(app: App, caplog: pytest.LogCaptureFixture) -> None:
    """The trace is for the log, not for the caller."""

    async def broken(*_: object) -> Answer:
        raise RuntimeError("oops")

    fields = assert_problem(await app.handle(broken, Request()), 500)
    assert "oops" not in json.dumps(fields)
    assert "request.failed" in caplog.messages


async def test_a_tick_that_meets_a_fault_logs_one_line(app: App, host: Host, caplog: pytest.LogCaptureFixture) -> None:
    """It must not raise: the host would print a trace every five seconds."""

    async def fault() -> None:
        raise StorageUnavailable("storage cannot be reached")

    host.core.dispatcher._tick = fault
    await app.tick()
    assert caplog.messages == ["dispatch.storage_unavailable error=storage cannot be reached retry=next_tick"]


class WindowsEnvironment(UserDict[str, str]):
    """As `os.environ` is there: a name is found whatever its case, and listed in upper case."""

    def __setitem__(self, name: str, value: str) -> None:
        super().__setitem__(name.upper(), value)

    def __getitem__(self, name: str) -> str:
        return super().__getitem__(name.upper())

    def __contains__(self, name: object) -> bool:
        return super().__contains__(str(name).upper())


def test_windows_lists_settings_in_upper_case(caplog: pytest.LogCaptureFixture) -> None:
    """They are found all the same, and none is taken for a misspelt one."""
    app = App(WindowsEnvironment(AzureWebJobsStorage="UseDevelopmentStorage=true", INGEST_SCHEDULE="* * * * * *"))
    assert (app.schedule, caplog.messages) == ("* * * * * *", [])
