"""The HTTP server in front of the functions. It routes and answers as the host and its web server do."""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import uvicorn
from uvicorn.protocols.http import h11_impl

from emulator.admin import Admin
from emulator.answer import NOT_FOUND, Answer, answer
from emulator.app import Function
from emulator.invoke import Runner
from emulator.keys import has_key
from emulator.limits import Receive, Scope, read_body, rejection_status
from emulator.log import log
from emulator.request import Request, for_function, read_request
from emulator.routes import Route, find

Send = Callable[[dict[str, Any]], Awaitable[None]]

CLOSE = (("Connection", "close"),)
HOME = Answer(status=200, headers=(("Content-Type", "text/html"),), body=b"<p>The functions emulator is running.</p>\n")
UNAUTHORIZED = Answer(status=401)
KEEP_ALIVE_SECONDS = 130
# A request target as clients send it to a proxy; its host must be that of the header `Host`.
ABSOLUTE_TARGET = re.compile(rb"http://([^/]*)(/.*)?")
# Longer than all limits, so that the site sees a request that is too long and can answer with the right status.
BUFFER_BYTES = 262_144
# Reason phrases of the host's web server that differ from those of some version of Python.
PHRASES = {
    306: b"Switch Proxy",
    413: b"Payload Too Large",
    414: b"URI Too Long",
    416: b"Range Not Satisfiable",
    418: b"I'm a teapot",
    419: b"Authentication Timeout",
    422: b"Unprocessable Entity",
    425: b"",
    499: b"Client Closed Request",
    **dict.fromkeys(range(600, 1000), b""),
}


class Protocol(h11_impl.H11Protocol):
    """The h11 protocol. Like the host, it accepts any method; httptools rejects unknown methods."""

    def data_received(self, data: bytes) -> None:
        """Remember a `?` without a query, which the base class drops. The URL for the function must have it."""
        request_line = data.partition(b"\n")[0]
        self.app_state["has_lone_question_mark"] = b"? HTTP/" in request_line
        super().data_received(data)

    def handle_events(self) -> None:
        """See the base class. Send `100 Continue` only if the client still waits for it."""
        super().handle_events()
        if self.cycle is not None and not self.conn.they_are_waiting_for_100_continue:
            self.cycle.waiting_for_100_continue = False


def create_server(site: "Site") -> uvicorn.Server:
    """Return a server for the site. It does not handle signals, because the emulator does."""
    h11_impl.STATUS_PHRASES.update(PHRASES)
    config = uvicorn.Config(
        site,
        http=Protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        h11_max_incomplete_event_size=BUFFER_BYTES,
    )
    server = uvicorn.Server(config)
    server.capture_signals = nullcontext  # type: ignore[assignment]
    return server


class Site:
    """The ASGI application: admin endpoints, the functions' routes, the home page.

    With a `key`, functions that are not anonymous answer only callers that have it.
    """

    def __init__(self, runner: Runner, routes: Sequence[Route], admin: Admin, *, key: str | None) -> None:
        self._runner = runner
        self._routes = routes
        self._admin = admin
        self._key = key

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        reply = await self._answer(scope, receive)
        headers = [(name.encode(), value.encode()) for name, value in reply.headers]
        if reply.status not in (204, 304):
            headers.append((b"Content-Length", str(len(reply.body)).encode()))
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await send({"type": "http.response.body", "body": reply.body})

    async def _answer(self, scope: Scope, receive: Receive) -> Answer:
        _make_target_relative(scope)
        rejected = rejection_status(scope)
        if rejected is not None:
            return Answer(status=rejected, headers=CLOSE)
        request = read_request(scope, has_lone_question_mark=scope["state"]["has_lone_question_mark"])
        function, route_values = find(self._routes, request.method, request.path) or (None, {})
        is_admin = (request.path.lower() + "/").startswith("/admin/")
        body = await read_body(receive, request.headers) if function or is_admin else b""
        if is_admin:
            reply = self._admin.answer(request.method, request.path, request.headers, body or b"")
            if reply is not None:
                return reply
        if function is None:
            log.debug("%s %s: no function", request.method, request.path)
            return HOME if request.path == "/" else NOT_FOUND
        return await self._call(function, request, route_values, body)

    async def _call(
        self, function: Function, request: Request, route_values: Mapping[str, str], body: bytes | None
    ) -> Answer:
        if function.disabled:
            log.debug("%s %s: %s is disabled", request.method, request.path, function.name)
            return NOT_FOUND
        if self._key is not None and function.needs_key and not has_key(self._key, request):
            log.debug("%s %s: no valid key for %s", request.method, request.path, function.name)
            return UNAUTHORIZED
        has_host = bool(request.headers.get("host"))  # optional in HTTP/1.0, but the function's URL needs it
        if body is None or not has_host:
            return Answer(status=500, headers=CLOSE)
        reply = await self._runner.run(function, for_function(request, route_values, body), answer)
        return reply or Answer(status=500)


def _make_target_relative(scope: Scope) -> None:
    """Turn a target with scheme and host into a path if the host is that of the header `Host`."""
    match = ABSOLUTE_TARGET.fullmatch(scope["raw_path"])
    if match and (b"host", match[1]) in scope["headers"]:
        scope["raw_path"] = match[2] or b"/"
