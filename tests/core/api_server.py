"""An external API on loopback that notes every request and misbehaves on demand.

In a test: `async with ApiServer() as api: api.behave(Behaviour(status=404), item_id=7)`.

As a program: `python tests/core/api_server.py --port 0 --log FILE` prints its URL and appends one JSON line per request
to the log. Its behaviour is then set over HTTP: `PUT /behaviour` for all IDs or `PUT /behaviour/7` for one, with the
fields of `Behaviour` as a JSON object; `DELETE /behaviour` forgets everything that was set.
"""

import argparse
import asyncio
import json
import signal
import socket
import ssl
import struct
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Self

ANSWER, DROP, RESET, CUT, DRIP, ENDLESS, RAW = "answer", "drop", "reset", "cut", "drip", "endless", "raw"


@dataclass(frozen=True, kw_only=True)
class Behaviour:
    """How to answer: by default at once, with the item.

    `mode`: `answer`; `drop` or `reset` the connection instead; `cut` the body half-way; `drip` the body one byte a
    second; `endless` chunks; `raw` sends `body` as the whole answer, character for byte (latin-1).
    `size` replaces the body by a JSON string of so many bytes. `together`: wait until so many requests have come.
    `times`: for so many requests only; then what applied before applies again.
    """

    mode: str = ANSWER
    delay_seconds: float = 0.0
    together: int = 1
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str | None = None
    size: int = 0
    times: int | None = None


@dataclass(frozen=True, kw_only=True)
class Request:
    """A request as it arrived; `monotonic` is comparable between the processes of one machine."""

    item_id: int
    target: str
    headers: Mapping[str, str]
    monotonic: float
    wall: float


class ApiServer:
    """Serves `/items/{id}` and any other path that ends in an ID; one request per connection."""

    def __init__(self, *, port: int = 0, log: Path | None = None, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[Request] = []
        self._port = port
        self._log = log
        self._tls = tls
        self._behaviours: dict[int | None, list[Behaviour]] = {}
        self._changed = asyncio.Condition()
        self._handlers: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self._port, ssl=self._tls)
        self.url = f"{'https' if self._tls else 'http'}://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for handler in self._handlers:
            handler.cancel()
        await asyncio.gather(*self._handlers, return_exceptions=True)
        await self._server.wait_closed()

    def behave(self, behaviour: Behaviour, *, item_id: int | None = None) -> None:
        """From now on answer like this, for one ID or for all that have no behaviour of their own."""
        self._behaviours.setdefault(item_id, []).append(behaviour)

    def reset(self) -> None:
        """Forget every behaviour."""
        self._behaviours.clear()

    async def received(self, count: int) -> None:
        """Return once so many requests have arrived."""
        async with self._changed:
            await self._changed.wait_for(lambda: len(self.requests) >= count)

    async def idle(self) -> None:
        """Return once no connection is open."""
        async with self._changed:
            await self._changed.wait_for(lambda: not self._handlers)

    def _take(self, item_id: int) -> Behaviour:
        for key in (item_id, None):
            stack = self._behaviours.get(key, [])
            while stack:
                top = stack[-1]
                if top.times is None:
                    return top
                if top.times > 0:
                    stack[-1] = replace(top, times=top.times - 1)
                    return top
                stack.pop()
        return Behaviour()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handler = asyncio.current_task()
        assert handler is not None
        self._handlers.add(handler)
        # A client that went away is what some tests are about; a cancelled handler is this server closing.
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            try:
                await self._handle(reader, writer)
                writer.close()
                await writer.wait_closed()
            finally:
                writer.close()
        self._handlers.discard(handler)
        await self._notify()

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, target, _ = head[0].split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:-2])}
        if target.startswith("/behaviour"):
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            writer.write(self._control(method, target, body))
            return
        item_id = int(target.partition("?")[0].rpartition("/")[2])
        now, wall = time.monotonic(), time.time()
        self._note(Request(item_id=item_id, target=target, headers=headers, monotonic=now, wall=wall))
        behaviour = self._take(item_id)
        await self._notify()
        await self.received(behaviour.together)
        await _pause(behaviour.delay_seconds, reader)
        await _answer(behaviour, item_id, reader, writer)

    def _note(self, request: Request) -> None:
        self.requests.append(request)
        if self._log is not None:
            line = {"id": request.item_id, "target": request.target}
            line |= {"monotonic": request.monotonic, "wall": request.wall}
            line |= {"authorization": request.headers.get("authorization", "")}
            with self._log.open("a", encoding="ascii") as log:
                log.write(json.dumps(line) + "\n")

    def _control(self, method: str, target: str, body: bytes) -> bytes:
        if method == "DELETE":
            self.reset()
        else:
            _, _, item_id = target.removeprefix("/").partition("/")
            self.behave(Behaviour(**json.loads(body)), item_id=int(item_id) if item_id else None)
        return b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"


async def _pause(seconds: float, reader: asyncio.StreamReader) -> None:
    """Wait, but not for a client that has gone."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            if not await reader.read(1):
                raise ConnectionResetError


async def _answer(
    behaviour: Behaviour, item_id: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    body = _body(behaviour, item_id)
    match behaviour.mode:
        case "drop":
            return
        case "reset":
            # Lingering for 0 s: closing sends RST instead of FIN.
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        case "raw":
            writer.write(body)
        case "endless":
            writer.write(_head(behaviour, {"Transfer-Encoding": "chunked"}))
            while True:
                writer.write(b"400\r\n" + b"7" * 1024 + b"\r\n")
                await writer.drain()
        case mode:
            writer.write(_head(behaviour, {"Content-Length": str(len(body))}))
            if mode == "drip":
                for byte in body:
                    writer.write(bytes((byte,)))
                    await _pause(1.0, reader)
            else:
                writer.write(body[: len(body) // 2] if mode == "cut" else body)
    await writer.drain()


def _body(behaviour: Behaviour, item_id: int) -> bytes:
    if behaviour.size:
        return b'"' + b"x" * (behaviour.size - 2) + b'"'
    if behaviour.body is not None:
        return behaviour.body.encode("latin-1" if behaviour.mode == RAW else "utf-8")
    return json.dumps({"id": item_id, "name": f"item {item_id}"}).encode()


def _head(behaviour: Behaviour, framing: Mapping[str, str]) -> bytes:
    phrase = HTTPStatus(behaviour.status).phrase
    headers = {"Connection": "close", "Content-Type": "application/json", **framing, **behaviour.headers}
    lines = [f"HTTP/1.1 {behaviour.status} {phrase}", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


async def _serve(port: int, log: Path | None) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with ApiServer(port=port, log=log) as api:
        print(api.url, flush=True)  # noqa: T201 - the program's answer
        await stop.wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--log", type=Path)
    arguments = parser.parse_args()
    asyncio.run(_serve(arguments.port, arguments.log))
