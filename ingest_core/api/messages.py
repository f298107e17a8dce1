"""Requests and answers as the handlers see them, without a web framework."""

from collections.abc import Mapping
from dataclasses import dataclass, field

JSON = "application/json"
NDJSON = "application/x-ndjson"
JSONL = "application/jsonl"
PROBLEM = "application/problem+json"
PROMETHEUS = "text/plain; version=0.0.4"
"""Without a charset, because the Functions host adds one."""

NO_CACHE = {"Cache-Control": "no-cache"}
"""A cache must ask before it gives an answer again: states change at any time."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a handler sees of a request. Header names are in lower case; `url` has the query as it was sent."""

    method: str = "GET"
    url: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    path: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What is sent back."""

    status: int
    body: str
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)
