"""Storage that is busy, broken or gone: a tick says so in one line, a caller gets a 503 in time, nothing is lost."""

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import AsyncIterator

import pytest

from devtools.ports import free_ports
from ingest_core import api
from ingest_core.adapters.azure import CALL_SECONDS
from ingest_core.app import App
from ingest_core.errors import StorageUnavailable
from ingest_core.models import Priority
from tests.support.faults import Faults, storm
from tests.support.world import CALL_SECONDS as WORLD_CALL_SECONDS
from tests.support.world import AzureBackend, Host, World, app_of, wrong

A_FEW_SECONDS = 2 * CALL_SECONDS
BODY = b'{"ids": [1, 2, 3], "priority": "HIGH"}'


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_a_backlog_drains_in_order_through_a_storm(
    world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """503, 500, timeouts and resets at random calls of two hosts: no gap is short, nothing lost, doubled, overtaken."""
    monkeypatch.setattr("ingest_core.adapters.azure.VISIBILITY_SECONDS", 1)
    calm = world.host(create=True)
    for first, lane in ((1, "LOW"), (11, "HIGH"), (21, "MEDIUM"), (31, "HIGH"), (41, "LOW"), (51, "MEDIUM")):
        await calm.post([first, first + 1, first + 2, first + 3], lane)
    hosts = [
        world.host(Faults(storm(seed * 10 + n, 0.15), pass_time=world.time.pass_by, call_seconds=WORLD_CALL_SECONDS))
        for n in range(2)
    ]
    apps = [app_of(host) for host in hosts]
    caplog.set_level(logging.ERROR)
    failed_ticks = 0
    for _ in range(40):
        for app in apps:
            caplog.clear()
            await app.tick()
            lines = [record.getMessage() for record in caplog.records]
            assert len(lines) <= 1, lines
            assert all("dispatch.storage_unavailable" in line and "\n" not in line for line in lines)
            failed_ticks += len(lines)
        world.time.pass_by(1.0)
    assert failed_ticks >= 5, "the storm was no storm"
    assert sum(host.faults.failed for host in hosts) >= 20
    await world.drain(calm)
    for _ in range(50):
        if not (found := await wrong(world, calm)):
            break
        await asyncio.sleep(0.2)  # a message that was received in the storm is out of sight for a real second
        await world.drain(calm)
    assert found == []


async def test_every_failing_tick_is_one_line(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """With storage gone a tick raises nothing and logs one line, however often it fires."""
    app = app_of(_host_of(world, free_ports(2)))
    caplog.set_level(logging.INFO)
    for _ in range(5):
        caplog.clear()
        await app.tick()
        [line] = [record.getMessage() for record in caplog.records]
        assert line.startswith("dispatch.storage_unavailable ")


async def test_a_request_is_refused_in_time_when_nobody_listens(world: World) -> None:
    """503 problem+json with Retry-After, at once."""
    answer, seconds = await _post(app_of(_host_of(world, free_ports(2))))
    _is_unavailable(answer)
    assert seconds < A_FEW_SECONDS / 4


async def test_a_request_is_refused_in_time_when_nobody_answers(world: World) -> None:
    """A storage that accepts connections and says nothing holds a caller for a few seconds only."""
    async with _silent_server() as port:
        answer, seconds = await _post(app_of(_host_of(world, [port, port])))
    _is_unavailable(answer)
    assert seconds < A_FEW_SECONDS


async def test_a_tick_is_over_in_time_when_nobody_answers(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """A silent storage does not hold a tick either."""
    async with _silent_server() as port:
        app = app_of(_host_of(world, [port, port]))
        began = time.monotonic()
        await app.tick()
    assert time.monotonic() - began < A_FEW_SECONDS
    [line] = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert line.startswith("dispatch.storage_unavailable ")


async def test_a_received_message_whose_answer_is_lost_hides_no_other(world: World) -> None:
    """Nobody below the service sends a receive twice: the second would displace the message behind."""
    calm = world.host(create=True)
    for text in ("first", "second", "third"):
        await calm.put(text)
    async with _losing_proxy(_port_of(world, "Queue")) as (port, lost):
        host = _host_of(world, [port, _port_of(world, "Table")])
        with pytest.raises(StorageUnavailable):
            await host.storage.lanes[Priority.HIGH].receive()
    assert lost == [200]
    assert [message.text for message in await calm.storage.lanes[Priority.HIGH].peek()] == ["second", "third"]


def _port_of(world: World, service: str) -> int:
    return int(world.backend.connection_string.split(f"{service}Endpoint=http://127.0.0.1:")[1].split("/")[0])


@contextlib.asynccontextmanager
async def _losing_proxy(port: int) -> AsyncIterator[tuple[int, list[int]]]:
    """Passes a receive on and hangs up instead of answering; yields its port and the status codes that it kept."""
    lost: list[int] = []

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        upstream, sink = await asyncio.open_connection("127.0.0.1", port)
        sink.write(head.replace(b"keep-alive", b"close"))
        lost.append(int((await upstream.readline()).split()[1]))
        for one in (sink, writer):
            one.close()
            await one.wait_closed()

    server = await asyncio.start_server(pass_on, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], lost
    finally:
        server.close()
        await server.wait_closed()


def _host_of(world: World, ports: list[int]) -> Host:
    """A host whose storage is on these ports, in the world's account."""
    connection_string = world.backend.connection_string
    for service, port in zip(("Queue", "Table"), ports, strict=True):
        connection_string = connection_string.replace(f":{_port_of(world, service)}/", f":{port}/")
    backend, world.backend = world.backend, AzureBackend(connection_string)
    host = world.host(create=False)
    world.backend = backend
    return host


async def _post(app: App) -> tuple[api.Answer, float]:
    began = time.monotonic()
    answer = await app.handle(api.ingest, api.Request(method="POST", body=BODY))
    return answer, time.monotonic() - began


def _is_unavailable(answer: api.Answer) -> None:
    assert answer.status == 503
    assert answer.content_type == "application/problem+json"
    assert int(answer.headers["Retry-After"]) >= 1
    assert json.loads(answer.body)["status"] == 503


@contextlib.asynccontextmanager
async def _silent_server() -> AsyncIterator[int]:
    """Accepts connections and never answers."""
    over = asyncio.Event()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await over.wait()
        writer.close()
        await reader.read()

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        over.set()
        server.close()
        await server.wait_closed()
