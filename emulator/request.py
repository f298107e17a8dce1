"""Builds the request for a function, with path, query and headers as the host and its Python worker pass them on."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote_to_bytes

from azure.functions.http import HttpRequest

ESCAPES = re.compile("(?:%[0-9a-fA-F]{2})+")
LENGTH_OF_ESCAPE = len("%FF")


def unescape(text: str) -> str:
    """Decode the percent escapes that are UTF-8. All others stay as they are, as on the host: `%ff` stays `%ff`."""
    return ESCAPES.sub(lambda escapes: _unescape_run(escapes[0]), text)


def _unescape_run(escapes: str) -> str:
    """Decode escapes that follow each other without a gap."""
    decoded = unquote_to_bytes(escapes).decode("utf-8", "surrogateescape")  # a byte that is not UTF-8 is a surrogate
    parts = []
    start = 0
    for character in decoded:
        end = start + LENGTH_OF_ESCAPE * len(character.encode("utf-8", "surrogateescape"))
        is_utf8 = not "\udc80" <= character <= "\udcff"
        parts.append(character if is_utf8 else escapes[start:end])
        start = end
    return "".join(parts)


def normalize(raw_path: str) -> str:
    """Return the path for routing: decoded except for `%2F`, and without dot segments."""
    slashes_stay = re.sub("%(?=2f)", "%25", raw_path, flags=re.IGNORECASE)
    segments = unescape(slashes_stay).split("/")[1:]
    kept: list[str] = []
    for segment in segments:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    path = "/" + "/".join(kept)
    if kept and segments[-1] in (".", ".."):
        path += "/"
    return path


def query_parameters(query: str) -> dict[str, str]:
    """Return the parameters of a query. Keys that differ only in case are the same.

    The values of a repeated key are joined by commas. Empty values are left out, and a key with only empty values too.
    A repeated key is spelled as in its second occurrence, as in ASP.NET Core.
    """
    values_by_key: dict[str, list[str]] = {}
    spelling: dict[str, str] = {}
    for key, value in query_pairs(query):
        values = values_by_key.setdefault(key.lower(), [])
        if len(values) < 2:
            spelling[key.lower()] = key
        values.append(value)
    return {spelling[key]: _joined(values) for key, values in values_by_key.items() if any(values)}


def query_pairs(query: str) -> list[tuple[str, str]]:
    """Return the decoded keys and values of a query in their order."""
    pairs = []
    for pair in query.split("&"):
        key, _, value = pair.replace("+", " ").partition("=")
        pairs.append((unescape(key), unescape(value)))
    return pairs


def read_headers(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return the headers, with names in lower case; UnicodeDecodeError if a value is not UTF-8."""
    values_by_name: dict[str, list[str]] = {}
    for name, value in headers:
        values_by_name.setdefault(name.decode(), []).append(value.decode())
    if "transfer-encoding" in values_by_name and "content-length" in values_by_name:
        # Kestrel renames the length to prevent request smuggling.
        values_by_name["x-content-length"] = values_by_name.pop("content-length")
    return {name: _joined(values) for name, values in values_by_name.items()}


def _joined(values: Iterable[str]) -> str:
    return ",".join(value for value in values if value)


@dataclass(frozen=True, kw_only=True)
class Request:
    """A request as the web server has read it, without its body."""

    method: str
    #: Decoded and without dot segments.
    path: str
    #: As it was sent, including the `?`; empty if the request has no `?`.
    query: str
    #: Names are in lower case.
    headers: Mapping[str, str]


def read_request(scope: Mapping[str, Any], *, has_lone_question_mark: bool) -> Request:
    """Read a request that is within the limits. `has_lone_question_mark`: an ASGI scope drops a `?` without a query."""
    query = scope["query_string"].decode()
    return Request(
        method=scope["method"],
        path=normalize(scope["raw_path"].decode()),
        query=f"?{query}" if query or has_lone_question_mark else "",
        headers=read_headers(scope["headers"]),
    )


def for_function(request: Request, route_values: Mapping[str, str], body: bytes) -> HttpRequest:
    """Build the request object for the function; the request must have a host."""
    without_lone_percents = re.sub("%(?![0-9a-fA-F]{2})", "%25", request.path)
    shown_path = quote(without_lone_percents, safe="!$&'()*+,-./:;=@_~%")
    shown_query = request.query.replace("#", "%23")
    return HttpRequest(
        request.method,
        f"http://{request.headers['host']}{shown_path}{shown_query}",
        headers=request.headers,
        params=query_parameters(request.query.removeprefix("?")),
        route_params=route_values,
        body_type="bytes",
        body=body,
    )
