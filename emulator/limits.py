"""Checks requests against the limits of the host's web server, and reads their bodies as it does."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from emulator.request import read_headers

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]

MAX_REQUEST_LINE = 8192
MAX_HEADERS = 100
MAX_HEADER_BYTES = 32768
MAX_BODY = 104_857_600
#: If a client sends nothing of its body for so long, the body counts as not sent.
STALLED_SECONDS = 5
HOST = re.compile(r"((\[[0-9a-fA-F:.]+\]|[\w!$&'().~-]+)(:[0-9]+)?)?", re.ASCII)


def rejection_status(scope: Scope) -> int | None:
    """Return the status code for a request that is too long or malformed; None for a good request."""
    target = scope["raw_path"]
    if scope["query_string"]:
        target += b"?" + scope["query_string"]
    if len(scope["method"]) + len(target) + len("  HTTP/1.1\r\n") > MAX_REQUEST_LINE:
        return 414
    header_bytes = sum(len(name) + len(value) + len(": \r\n") for name, value in scope["headers"])
    if len(scope["headers"]) > MAX_HEADERS or header_bytes > MAX_HEADER_BYTES:
        return 431
    try:
        host = read_headers(scope["headers"]).get("host", "")
    except UnicodeDecodeError:
        return 400
    if scope["http_version"] not in ("1.0", "1.1"):
        return 505
    is_good = target.startswith(b"/") and b"%00" not in scope["raw_path"] and HOST.fullmatch(host)
    return None if is_good else 400


async def read_body(receive: Receive, headers: Mapping[str, str]) -> bytes | None:
    """Return the body; None if it is too long, or if the client did not send all of it.

    As on the host, a body without a `Content-Length` is empty, even if the client sends chunks.
    """
    announced = int(headers.get("content-length", "0"))
    is_too_long = announced > MAX_BODY
    body = bytearray()
    has_more = announced > 0
    while has_more:
        try:
            message = await asyncio.wait_for(receive(), STALLED_SECONDS)
        except TimeoutError:
            return None
        if message["type"] == "http.disconnect":
            return None
        if not is_too_long:
            body += message["body"]
        has_more = message["more_body"]
    return None if is_too_long else bytes(body)
