"""Requests and answers beyond the recorded questions: keys, queries, malformed and unfinished requests."""

import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from emulator.server import BUFFER_BYTES
from tests.emulator.emulated import HELLO, Emulator, emulator, make_app

GET = b"GET /api/hello HTTP/1.1\r\n"
HALF_A_BODY = b"POST /api/hello HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nhalf"


@pytest.fixture(scope="module")
def hello(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """An emulator that logs every run, with a function that says hello."""
    with emulator(make_app(tmp_path_factory.mktemp("hello") / "app", HELLO), "--verbose") as host:
        yield host


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """An emulator that requires a key, with functions of each level."""
    source = f"""{HELLO}
@app.route(route="default", methods=["GET", "POST"])
def default(req): return "in"
@app.route(route="top", auth_level="admin")
def top(req): return "in"
@app.generic_trigger(arg_name="req", type="httpTrigger", route="generic")
@app.generic_output_binding(arg_name="$return", type="http")
def generic(req): return "in"
"""
    with emulator(make_app(tmp_path_factory.mktemp("locked") / "app", source), "--key", "s3cret/é") as host:
        yield host


@pytest.mark.parametrize("path", ["/api/default", "/api/top", "/api/generic"])
def test_a_call_without_the_key_is_an_empty_401(path: str, locked: Emulator) -> None:
    """Every function that is not anonymous needs the key. A function without a level is not anonymous."""
    assert locked.ask("GET", path) == (401, "")
    assert locked.ask("GET", f"{path}?code=wrong") == (401, "")
    assert locked.ask("GET", path, **{"x-functions-key": "s3cret"}) == (401, "")
    assert locked.ask("GET", f"{path}?code=s3cret/%C3%A9") == (200, "in")


def test_the_key_may_be_in_a_header(locked: Emulator) -> None:
    """If there is a header, the query is ignored, even if the header is wrong or empty."""
    key = "s3cret/é".encode().decode("latin-1")  # http.client sends headers as Latin-1
    assert locked.ask("GET", "/api/default", **{"X-Functions-Key": key}) == (200, "in")
    for wrong in ("wrong", ""):
        answer = locked.ask("GET", "/api/default?code=s3cret/%C3%A9", **{"x-functions-key": wrong})
        assert answer == (401, "")


def test_the_first_code_counts(locked: Emulator) -> None:
    """Its name is compared without regard to case."""
    assert locked.ask("GET", "/api/default?x=1&CODE=s3cret/%C3%A9&code=wrong") == (200, "in")
    assert locked.ask("GET", "/api/default?code=wrong&code=s3cret/%C3%A9") == (401, "")


def test_some_paths_need_no_key(locked: Emulator) -> None:
    """These are anonymous functions, the admin endpoints, and paths without a function (404)."""
    assert locked.ask("GET", "/api/hello") == (200, "hello")
    assert locked.ask("GET", "/admin/host/ping") == (200, "")
    assert locked.ask("GET", "/api/nowhere") == (404, "")
    assert locked.ask("PUT", "/api/default") == (404, "")


def test_a_connection_goes_on_after_a_401(locked: Emulator) -> None:
    """The body of the call with the 401 is not read as the next request."""
    post = b"POST /api/default HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody"
    get = b"GET /api/hello HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
    assert exchange(locked.port, post + get).count(b"HTTP/1.1 ") == 2


@pytest.mark.parametrize("query", ["", "?", "??", "?&", "?x=?"])
def test_the_url_has_the_query_as_it_was_sent(query: str, tmp_path: Path) -> None:
    """This is true even if the query is only a question mark."""
    source = '@app.route(route="{*rest}")\ndef url(req): return f"{req.url} {req.route_params}"'
    with emulator(make_app(tmp_path / "app", source)) as host:
        answer = f"http://127.0.0.1:{host.port}/api/%ff%C3%A9/x{query} {{'rest': '%ffé/x'}}"
        assert host.ask("GET", f"/api/%ff%c3%A9/x{query}") == (200, answer)


def exchange(port: int, request: bytes) -> bytes:
    """Send bytes; return everything that comes back until the connection is closed."""
    received = b""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(request)
        while piece := connection.recv(65536):
            received += piece
    return received


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (GET + b"Host: h\r\nX: \xff\r\n\r\n", b"400"),
        (b"GET /api/%00 HTTP/1.1\r\nHost: h\r\n\r\n", b"400"),
        (b"GET api/hello HTTP/1.1\r\nHost: h\r\n\r\n", b"400"),
        (b"GET http://other/api/hello HTTP/1.1\r\nHost: h\r\n\r\n", b"400"),
        (GET + b"Host: h h\r\n\r\n", b"400"),
        (b"POST /api/hello HTTP/1.1\r\nHost: h\r\nContent-Length: 9" + b"9" * 30 + b"\r\n\r\n", b"400"),
        (b"\x16\x03\x01\x02\x00\x01\x00\r\n", b"400"),
        (b"GET /".ljust(BUFFER_BYTES + 1, b"x"), b"4"),
        (GET + b"Host: h\r\n" + b"X: y\r\n" * 101 + b"\r\n", b"431"),
        (b"GET /api/hello HTTP/2.0\r\nHost: h\r\n\r\n", b"505"),
    ],
)
def test_a_malformed_request_gets_an_error_and_its_connection_is_closed(
    request_bytes: bytes, status: bytes, hello: Emulator
) -> None:
    """The next request, on another connection, is served."""
    assert exchange(hello.port, request_bytes).startswith(b"HTTP/1.1 " + status)
    assert hello.ask("GET", "/api/hello") == (200, "hello")


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET /api/hello HTTP/1.0\r\nHost: h\r\n\r\n",
        b"GET /api/hello?x=%00 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
        b"GET http://h/api/hello HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
        GET + b"Host: [::1]:7071\r\nConnection: close\r\n\r\n",
    ],
)
def test_an_unusual_request_is_served(request_bytes: bytes, hello: Emulator) -> None:
    """Examples are HTTP/1.0, a null in the query, a target as sent to a proxy, and an IPv6 address as the host."""
    assert exchange(hello.port, request_bytes).startswith(b"HTTP/1.1 200")


def test_a_call_whose_body_is_cut_off_does_not_reach_the_function(hello: Emulator) -> None:
    """The function is not called with a part of a body."""
    before = hello.log.count("hello: ")
    with socket.create_connection(("127.0.0.1", hello.port), timeout=10) as connection:
        connection.sendall(HALF_A_BODY)
    assert hello.ask("GET", "/api/hello") == (200, "hello")
    assert hello.log.count("hello: ") == before + 1


def test_a_call_whose_body_never_ends_does_not_hold_up_the_stop(tmp_path: Path) -> None:
    """After some seconds, the emulator stops waiting for the body and does not call the function."""
    with (
        emulator(make_app(tmp_path / "app", HELLO), "--verbose") as host,
        socket.create_connection(("127.0.0.1", host.port), timeout=20) as connection,
    ):
        connection.sendall(HALF_A_BODY)
        assert host.ask("GET", "/api/hello") == (200, "hello")
        host.process.signal(signal.SIGTERM)
        assert host.process.wait() == 0
        assert connection.recv(100).startswith(b"HTTP/1.1 500")
        assert host.log.count("hello: ") == 2  # the line with its URL, and the finished call
