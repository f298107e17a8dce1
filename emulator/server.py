"""HTTP in front of the functions: limits, routing and answers as the host and its web server give them."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from contextlib import nullcontext
from typing import Any

import uvicorn
from uvicorn.protocols.http import h11_impl

from emulator.admin import Admin
from emulator.invoke import Runner, log
from emulator.routes import Route, find
from emulator.translate import NOT_FOUND, Answer, answer, normalize, read_headers, request

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

STALLED_SECONDS = 5  # without a byte of a body, and it counts as not sent: it must not hold up the end
MAX_REQUEST_LINE, MAX_HEADERS, MAX_HEADER_BYTES, MAX_BODY = 8192, 100, 32768, 104_857_600
CLOSE = (("Connection", "close"),)
HOST = re.compile(r"((\[[0-9a-fA-F:.]+\]|[\w!$&'().~-]+)(:[0-9]+)?)?", re.ASCII)
ABSOLUTE = re.compile(rb"http://([^/]*)(/.*)?")  # a target as a proxy is asked; it must name the same host
HOME = Answer(status=200, headers=(("Content-Type", "text/html"),), body=b"<p>The functions emulator is running.</p>\n")
# Where http.HTTPStatus, which changes with Python's version, and the host's web server differ.
PHRASES = {306: b"Switch Proxy", 413: b"Payload Too Large", 414: b"URI Too Long", 416: b"Range Not Satisfiable"}
PHRASES |= {418: b"I'm a teapot", 419: b"Authentication Timeout", 422: b"Unprocessable Entity"}
PHRASES |= {499: b"Client Closed Request"} | dict.fromkeys((425, *range(600, 1000)), b"")


class Protocol(h11_impl.H11Protocol):
    """h11, which takes any method as the host does; httptools would refuse an invented one."""

    def data_received(self, data: bytes) -> None:
        """See the base class, which drops a `?` without a query: the URL that a function is handed has it."""
        self.app_state["lone"] = b"? HTTP/" in data.partition(b"\n")[0]
        super().data_received(data)

    def handle_events(self) -> None:
        """See the base class; the client is asked to continue only while it still waits for that."""
        super().handle_events()
        if self.cycle is not None and not self.conn.they_are_waiting_for_100_continue:
            self.cycle.waiting_for_100_continue = False


def create_server(site: "Site") -> uvicorn.Server:
    """Return a server of the site, which leaves the signals to the host; its `serve` takes a socket."""
    h11_impl.STATUS_PHRASES.update(PHRASES)
    quiet: dict[str, Any] = {"ws": "none", "lifespan": "off", "log_config": None, "access_log": False}
    quiet |= {"server_header": False, "timeout_keep_alive": 130}
    # The limit is far enough that the site sees what is too long, and can say so.
    server = uvicorn.Server(uvicorn.Config(site, http=Protocol, h11_max_incomplete_event_size=262144, **quiet))
    server.capture_signals = nullcontext  # type: ignore[assignment]
    return server


class Site:
    """The ASGI application: admin endpoints, the functions' routes, the home page."""

    def __init__(self, runner: Runner, routes: Sequence[Route], admin: Admin) -> None:
        self._runner, self._routes, self._admin = runner, routes, admin

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request."""
        found = await self._answer(scope, receive)
        headers = [(name.encode(), value.encode()) for name, value in found.headers]
        headers += [(b"Content-Length", b"%d" % len(found.body))] if found.status not in (204, 304) else []
        await send({"type": "http.response.start", "status": found.status, "headers": headers})
        await send({"type": "http.response.body", "body": found.body})

    async def _answer(self, scope: dict[str, Any], receive: Receive) -> Answer:
        if (proxied := ABSOLUTE.fullmatch(scope["raw_path"])) and (b"host", proxied[1]) in scope["headers"]:
            scope["raw_path"] = proxied[2] or b"/"
        if refused := _refused(scope):
            return Answer(status=refused, headers=CLOSE)
        method, headers = scope["method"], read_headers(scope["headers"])
        path = normalize(scope["raw_path"].decode())
        function, values = find(self._routes, method, path) or (None, {})
        admin = (path.lower() + "/").startswith("/admin/")
        body = await _read(receive, headers) if function or admin else b""
        if admin and (found := self._admin.answer(method, path, headers, body or b"")):
            return found
        if function is None or function.disabled:
            log.info("%s %s: no function", method, path)
            return HOME if function is None and path == "/" else NOT_FOUND
        if body is None or not headers.get("host"):  # HTTP/1.0 may leave the host out: no URL can be built
            return Answer(status=500, headers=CLOSE)
        query = b"?" * (scope["state"]["lone"] or scope["query_string"] != b"") + scope["query_string"]
        asked = request(method, path, query.decode(), headers, values, body)
        return await self._runner.run(function, asked, answer) or Answer(status=500)


def _refused(scope: dict[str, Any]) -> int:
    """Return the status for a request that is too long or malformed, else 0."""
    target, headers = scope["raw_path"] + b"?" * bool(scope["query_string"]) + scope["query_string"], scope["headers"]
    if len(scope["method"]) + len(target) + len("  HTTP/1.1\r\n") > MAX_REQUEST_LINE:
        return 414
    if len(headers) > MAX_HEADERS or sum(len(name) + len(value) + 4 for name, value in headers) > MAX_HEADER_BYTES:
        return 431
    try:
        host = read_headers(headers).get("host", "")
    except UnicodeDecodeError:
        return 400
    good = target.startswith(b"/") and b"%00" not in scope["raw_path"] and HOST.fullmatch(host)
    return 505 if scope["http_version"] not in ("1.0", "1.1") else 0 if good else 400


async def _read(receive: Receive, headers: dict[str, str]) -> bytes | None:
    """Return the body, empty unless its length was announced; None if it is too long, or not sent to its end."""
    announced, body = int(headers.get("content-length", "0")), bytearray()
    more = announced > 0
    while more:
        try:
            message = await asyncio.wait_for(receive(), STALLED_SECONDS)
            body += message["body"] if announced <= MAX_BODY else b""
        except (TimeoutError, KeyError):  # the client stalls, or has gone
            return None
        more = message["more_body"]
    return None if announced > MAX_BODY else bytes(body)
