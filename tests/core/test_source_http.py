import asyncio
import gc
import json
import logging
import os
import re
import socket
import ssl
import subprocess
import sys
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ingest_core.errors import AttemptFailed, ItemRejected, SourceError, SourceUnavailable
from ingest_core.proxies import Proxy
from ingest_core.source.http import HttpSource
from tests.core.api_server import CUT, DRIP, DROP, ENDLESS, RAW, RESET, ApiServer, Behaviour

SECRET = "hidden"  # noqa: S105 - what must not show up in any message
PATIENCE_SECONDS = 20  # long beyond need: only a hanging test reaches it


class WallClock:
    """The real time; no test here depends on how much of it passes."""

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    def now(self) -> datetime:
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def source_of(
    url: str,
    *,
    path: str = "/items/{id}",
    headers: dict[str, str] | None = None,
    connect_timeout_seconds: float = 5.0,
    proxy: str | None = None,
) -> HttpSource:
    """A source that takes answers of up to 1000 bytes."""
    return HttpSource(
        url_template=url + path,
        headers=headers or {},
        max_answer_bytes=1000,
        connect_timeout_seconds=connect_timeout_seconds,
        clock=WallClock(),
        proxy=Proxy(variable="HTTPS_PROXY", url=proxy) if proxy else None,
    )


@asynccontextmanager
async def tunnel() -> AsyncIterator[tuple[str, list[bytes]]]:
    """A proxy that connects whatever host `CONNECT` names: its address, and the requests that it got."""
    heads: list[bytes] = []

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while block := await reader.read(1 << 16):
                writer.write(block)
                await writer.drain()
        writer.close()

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        host, port = heads[-1].split(b" ")[1].decode().split(":")
        far_reader, far_writer = await asyncio.open_connection(host, int(port))
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await asyncio.gather(pass_on(reader, far_writer), pass_on(far_reader, writer))

    async with await asyncio.start_server(connect, "127.0.0.1", 0) as server:
        yield f"http://user:word@127.0.0.1:{server.sockets[0].getsockname()[1]}", heads


async def fetch(source: HttpSource, item_id: int = 7) -> str:
    """Fetch one ID, which must succeed."""
    [answer] = await source.fetch_batch([item_id], timeout_seconds=PATIENCE_SECONDS)
    assert isinstance(answer, str), answer
    return answer


async def failure_of(source: HttpSource, item_id: int = 7) -> SourceError:
    """The error that a fetch ends with, which keeps the promises that every error makes."""
    [error] = await source.fetch_batch([item_id], timeout_seconds=PATIENCE_SECONDS)
    assert isinstance(error, SourceError)
    text = str(error)
    assert text.isascii()
    assert text.isprintable()
    assert 0 < len(text) <= 200
    assert "did not answer within" not in text
    assert SECRET not in "".join(traceback.format_exception(error))
    return error


@pytest.fixture
async def api() -> AsyncIterator[ApiServer]:
    """The external API."""
    async with ApiServer() as server:
        yield server


@pytest.fixture
async def source(api: ApiServer) -> AsyncIterator[HttpSource]:
    """A source that asks it, with secrets in its address and its headers."""
    source = source_of(api.url, path=f"/items/{{id}}?key={SECRET}", headers={"X-Key": SECRET})
    yield source
    await source.close()
    gc.collect()  # what was left open would warn now, and warnings are errors


async def test_an_item_arrives_as_compact_json(source: HttpSource, api: ApiServer) -> None:
    """One fetch is one request."""
    assert await fetch(source, 7) == '{"id":7,"name":"item 7"}'
    assert len(api.requests) == 1


async def test_the_api_gets_the_address_and_the_headers_as_written(api: ApiServer) -> None:
    """Escapes stay, settings beat defaults, nothing compressed is asked for."""
    source = source_of(api.url, path="/a%2Fb/{id}?q=%7e+x&k={id}", headers={"accept": "text/x", "X-Key": "a b"})
    api.behave(Behaviour(body="1"))
    await fetch(source, 7)
    await source.close()
    [request] = api.requests
    assert request.target == "/a%2Fb/7?q=%7e+x&k=7"
    assert request.headers["accept"] == "text/x"
    assert request.headers["x-key"] == "a b"
    assert request.headers["accept-encoding"] == "identity"
    assert request.headers["user-agent"] == "ingestion-service"
    assert request.headers["connection"] == "close"


async def test_three_ids_are_under_way_at_once(source: HttpSource, api: ApiServer) -> None:
    """The API answers none of them before it has all three; one that fails leaves the others alone."""
    api.behave(Behaviour(together=3))
    api.behave(Behaviour(together=3, status=404), item_id=2)
    results = await source.fetch_batch([1, 2, 3], timeout_seconds=PATIENCE_SECONDS)
    assert [type(result) for result in results] == [str, ItemRejected, str]


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (404, ItemRejected),
        (410, ItemRejected),
        (422, ItemRejected),
        (204, ItemRejected),
        (403, AttemptFailed),
        (408, AttemptFailed),
        (500, AttemptFailed),
        (502, AttemptFailed),
        (304, AttemptFailed),
        (401, SourceUnavailable),
        (429, SourceUnavailable),
        (503, SourceUnavailable),
    ],
)
async def test_a_status_that_is_no_item_is_an_error(
    source: HttpSource, api: ApiServer, status: int, kind: type[SourceError]
) -> None:
    """By its number, whatever the body says, and without a second request."""
    api.behave(Behaviour(status=status, body="" if status in {204, 304} else "\r\nboo\x1b[31m"))
    error = await failure_of(source)
    assert type(error) is kind
    assert str(status) in str(error)
    assert len(api.requests) == 1


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": "Wed, 01 May 2024 12:00:07 GMT", "Date": "Wed, 01 May 2024 12:00:00 GMT"}, 7.0),
        ({"Retry-After": "Wed, 01 May 2024 12:00:07 GMT"}, 0.0),
        ({"Retry-After": "\xff"}, None),
        ({}, None),
    ],
)
async def test_a_wait_that_the_api_asks_for_is_passed_on(
    source: HttpSource, api: ApiServer, status: int, headers: dict[str, str], seconds: float | None
) -> None:
    """In seconds or as a date."""
    api.behave(Behaviour(status=status, headers=headers))
    error = await failure_of(source)
    assert isinstance(error, SourceUnavailable)
    assert error.retry_after_seconds == seconds


async def test_a_wait_is_known_before_the_body_has_come(source: HttpSource, api: ApiServer) -> None:
    """A 429 whose body drips is not a timeout."""
    api.behave(Behaviour(mode=DRIP, status=429, headers={"Retry-After": "7"}))
    assert isinstance(await failure_of(source), SourceUnavailable)
    await api.idle()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_not_followed(source: HttpSource, api: ApiServer, status: int) -> None:
    """Neither to another host nor to another path: each would be a call outside the limit."""
    async with ApiServer() as other:
        for location in (f"{other.url}/items/7", "/items/8", f"file:///etc/{SECRET}", "http://\x7f"):
            api.behave(Behaviour(status=status, headers={"Location": location}, times=1))
            assert isinstance(await failure_of(source), AttemptFailed)
        assert not other.requests
    assert [request.item_id for request in api.requests] == [7] * 4


@pytest.mark.parametrize(
    "behaviour",
    [
        Behaviour(mode=DROP),
        Behaviour(mode=RESET),
        Behaviour(mode=CUT),
        Behaviour(mode=RAW, body="HTTP/1.1 200 OK\r\nContent-Le"),
        Behaviour(mode=RAW, body='HTTP/1.1 200 OK\r\n\r\n{"id":'),
        Behaviour(mode=RAW, body="HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n7\r\n"),
    ],
    ids=repr,
)
async def test_a_connection_that_breaks_costs_an_attempt(
    source: HttpSource, api: ApiServer, behaviour: Behaviour
) -> None:
    """The API was reached. The client does not send again by itself, although HTTP lets it."""
    api.behave(behaviour)
    assert isinstance(await failure_of(source), AttemptFailed)
    assert len(api.requests) == 1


@pytest.mark.parametrize(
    "answer",
    [
        "\x00\xff\x1b[2J garbage \r\n\r\n",
        "SSH-2.0-OpenSSH_9.6\r\n",
        "HTTP/1.1 OK 200\r\n\r\n",
        "HTTP/1.1 99999 Huge\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\nContent-Length: " + "9" * 5000 + "\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n",
        "HTTP/1.1 200 " + "x" * 100_000,
        "HTTP/1.1 200 OK\r\nX: " + "x" * 70_000 + "\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\nX: " + "x" * 100_000 + "\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\n" + "X: y\r\n" * 10_000 + "\r\n{}",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n{}",
        "HTTP/1.1 100 Continue\r\n\r\n" * 1000,
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n<htm>",
    ],
    ids=lambda answer: repr(answer[:60]),
)
async def test_garbage_costs_an_attempt(source: HttpSource, api: ApiServer, answer: str) -> None:
    """The message repeats none of it."""
    api.behave(Behaviour(mode=RAW, body=answer))
    error = await failure_of(source)
    assert isinstance(error, AttemptFailed)
    assert "could not be read" not in str(error)


@pytest.mark.parametrize("behaviour", [Behaviour(size=1001), Behaviour(size=10 << 20), Behaviour(mode=ENDLESS)])
async def test_an_answer_over_the_limit_is_refused_for_good(
    source: HttpSource, api: ApiServer, behaviour: Behaviour
) -> None:
    """The client hangs up at once and says how much is allowed."""
    api.behave(behaviour)
    error = await failure_of(source)
    assert isinstance(error, ItemRejected)
    assert "1000 bytes" in str(error)
    async with asyncio.timeout(PATIENCE_SECONDS):
        await api.idle()


async def test_an_answer_at_the_limit_is_whole(source: HttpSource, api: ApiServer) -> None:
    """Nothing is cut."""
    api.behave(Behaviour(size=1000))
    assert await fetch(source, 7) == '"' + "x" * 998 + '"'


async def test_cookies_are_not_kept(api: ApiServer) -> None:
    """One ID's answer does not change another ID's request."""
    # By name: aiohttp never keeps the cookies of a bare address.
    source = source_of(api.url.replace("127.0.0.1", "localhost"))
    api.behave(Behaviour(headers={"Set-Cookie": "session=1; Path=/"}))
    await fetch(source, 1)
    await fetch(source, 2)
    await source.close()
    assert [request.headers.get("cookie") for request in api.requests] == [None, None]


async def test_the_environment_is_not_read_here(
    source: HttpSource, api: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever makes the source decides on a proxy."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    await fetch(source, 7)
    assert api.requests[0].target == f"/items/7?key={SECRET}"


async def test_a_refused_connection_means_unavailable() -> None:
    """The message names the host, not the path."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound but not listening: refuses, and nobody else gets the port
        source = source_of(f"http://127.0.0.1:{unused.getsockname()[1]}", path=f"/{SECRET}/{{id}}")
        error = await failure_of(source)
    await source.close()
    assert isinstance(error, SourceUnavailable)
    assert error.retry_after_seconds is None
    assert re.fullmatch(r"cannot connect to http://127\.0\.0\.1:\d+: Connection refused", str(error))


async def test_an_unknown_host_means_unavailable() -> None:
    """RFC 6761: a name under .invalid never exists."""
    source = source_of("http://api.invalid")
    error = await failure_of(source)
    await source.close()
    assert isinstance(error, SourceUnavailable)
    assert "cannot connect to http://api.invalid" in str(error)


async def test_a_server_without_tls_means_unavailable() -> None:
    """An https address on a port that speaks plain text."""

    async def greet(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    source = source_of(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    error = await failure_of(source)
    await source.close()
    server.close()
    await server.wait_closed()
    assert isinstance(error, SourceUnavailable)
    assert "cannot connect" in str(error)


async def test_a_host_that_swallows_everything_means_unavailable() -> None:
    """No connection in time is an outage, not a slow answer; here the TLS handshake never goes on."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"https://127.0.0.1:{silent.getsockname()[1]}"
        source = source_of(url, path=f"/{SECRET}/{{id}}", connect_timeout_seconds=0.05)
        error = await failure_of(source)
    await source.close()
    assert isinstance(error, SourceUnavailable)
    assert "in time" in str(error)


async def test_a_wrong_certificate_means_unavailable(certificate: Path) -> None:
    """Nobody vouches for it."""
    async with ApiServer(tls=server_context(certificate)) as api:
        source = source_of(api.url)
        error = await failure_of(source)
        await source.close()
        assert not api.requests
    assert isinstance(error, SourceUnavailable)
    assert "certificate" in str(error)


@pytest.mark.parametrize("through_proxy", [False, True])
async def test_a_process_that_fetches_over_tls_ends_quietly(certificate: Path, through_proxy: bool) -> None:
    """With a certificate that it trusts, directly or through a proxy; in development mode, which would warn."""
    program = """
import asyncio, sys
from tests.core.test_source_http import fetch, source_of

async def main():
    asyncio.get_running_loop().slow_callback_duration = 60  # that the machine is busy is no complaint
    source = source_of(sys.argv[1], proxy=sys.argv[2] or None)
    print(await fetch(source, 7))
    await source.close()

asyncio.run(main())
"""
    async with ApiServer(tls=server_context(certificate)) as api, tunnel() as (proxy, heads):
        repository = Path(__file__).parents[2]
        environment = os.environ | {"SSL_CERT_FILE": str(certificate), "PYTHONPATH": str(repository)}
        result = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-X", "dev", "-c", program, api.url, proxy if through_proxy else ""],
            env=environment,
            capture_output=True,
            check=False,
            timeout=PATIENCE_SECONDS,
        )
    assert result.stderr == b""
    assert result.stdout == b'{"id":7,"name":"item 7"}\n'
    assert [head.startswith(b"CONNECT 127.0.0.1:") for head in heads] == [True] * through_proxy
    assert all(b"Proxy-Authorization: Basic dXNlcjp3b3Jk" in head for head in heads)


@pytest.mark.parametrize("behaviour", [Behaviour(delay_seconds=3600), Behaviour(mode=DRIP), Behaviour(together=99)])
async def test_a_fetch_that_is_cut_off_hangs_up(source: HttpSource, api: ApiServer, behaviour: Behaviour) -> None:
    """Waiting for the head or for the body: the caller's limit ends it, and the API notices."""
    api.behave(behaviour)
    fetching = asyncio.create_task(source.fetch_batch([7], timeout_seconds=3600))
    async with asyncio.timeout(PATIENCE_SECONDS):
        await api.received(1)
        fetching.cancel()
        with pytest.raises(asyncio.CancelledError):
            await fetching
        api.reset()
        assert await fetch(source, 8)


async def test_a_fetch_past_the_time_limit_hangs_up(source: HttpSource, api: ApiServer) -> None:
    """The answer says how long it had, and afterwards no connection is open."""
    api.behave(Behaviour(mode=DRIP))
    [error] = await source.fetch_batch([7], timeout_seconds=0.05)
    assert isinstance(error, AttemptFailed)
    assert str(error) == "the source did not answer within 0.05 s"
    async with asyncio.timeout(PATIENCE_SECONDS):
        await api.idle()


async def test_closing_is_safe_at_any_time(source: HttpSource) -> None:
    """Before the first fetch, twice, and a later fetch opens anew."""
    await source.close()
    await fetch(source, 1)
    await source.close()
    await source.close()
    assert await fetch(source, 2)


odd_headers = st.sampled_from(
    [
        b"Content-Length: 2",
        b"Content-Length: 7",
        b"Content-Length:",
        b"Transfer-Encoding: chunked",
        b"Transfer-Encoding: gzip, chunked",
        b"Content-Encoding: br",
        b"Content-Encoding: gzip",
        b"Content-Encoding: deflate, gzip",
        b"Content-Encoding: utf-8",
        b"Content-Encoding: \xff,",
        b"Retry-After: 7, Wed, 01 May 2024 25:61:61 GMT",
        b"Connection: keep-alive",
        b"Connection: upgrade",
        b"Upgrade: websocket",
        b"Set-Cookie: =;;\xff[]=\x01",
        b"Set-Cookie: a b=c; Expires=never; Max-Age=x",
        b"Location: http://[",
        b"Retry-After: Wed, 01 May 2024 25:61:61 GMT",
        b"Content-Type: application/json; charset=\xff",
    ]
)
any_header = st.binary(max_size=20).map(lambda value: b"Retry-After: " + value.replace(b"\r", b"").replace(b"\n", b""))
bodies = st.sampled_from([b"{}", b'{"a":1}', b"2\r\n{}\r\n0\r\n\r\n", b"2;x\r\n{}\r\n0\r\nX: y\r\n\r\n", b"f\r\n{}"])
http_answers = st.builds(
    lambda start, headers, body: b"\r\n".join([b"HTTP/" + start, *headers, b"", body]),
    st.sampled_from([b"1.1 200 OK", b"1.1 200 OK", b"1.0 200", b"1.1 429 X", b"1.1 101 X", b"1.1 100 X", b"2.0 200 OK"])
    | st.integers(0, 1200).map(lambda status: b"1.1 %d X" % status),
    st.lists(odd_headers | any_header, max_size=3),
    bodies | st.binary(),
)


@settings(max_examples=300, deadline=None)
@given(http_answers | st.binary())
@example(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}HTTP/1.1 500 X\r\n\r\n")
@example(b"HTTP/1.1 503 \xff\x00\r\n\r\n")
@example(b"")
def test_whatever_bytes_the_api_sends_become_json_or_one_of_three_errors(answer: bytes) -> None:
    """No other exception, no line in a log, nothing unhandled in the loop."""
    notes = Notes()
    with asyncio.Runner() as runner, notes:
        runner.get_loop().set_exception_handler(lambda _loop, context: notes.noted.append(context))
        result = runner.run(fetch_raw(answer))
    assert not notes.noted
    if isinstance(result, str):
        json.loads(result)
    else:
        assert "could not be read" not in str(result)


async def fetch_raw(answer: bytes) -> str | SourceError:
    """What becomes of a fetch that gets these bytes."""
    async with ApiServer() as api:
        api.behave(Behaviour(mode=RAW, body=answer.decode("latin-1")))
        source = source_of(api.url)
        [answer] = await source.fetch_batch([7], timeout_seconds=PATIENCE_SECONDS)
        await source.close()
        assert len(api.requests) == 1
        return answer


class Notes(logging.Handler):
    """Keeps every log record from INFO up while it is entered."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.noted: list[object] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.noted.append(record)

    def __enter__(self) -> None:
        logging.getLogger().addHandler(self)

    def __exit__(self, *_: object) -> None:
        logging.getLogger().removeHandler(self)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for 127.0.0.1 with its key, in one PEM file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    public = key.public_key()
    made = (
        x509.CertificateBuilder(name, name, public, x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


def server_context(certificate: Path) -> ssl.SSLContext:
    """The server's side of TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context
