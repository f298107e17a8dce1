"""Query parameters: read from the URL, and refused if they are unknown, empty or repeated.

The host's own reading drops empty parameters and joins repeated ones by a comma, so a misspelt or doubled parameter
would go unnoticed.
"""

import hashlib
import re
from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar
from urllib.parse import parse_qsl

from ingest_core.api.messages import Request
from ingest_core.api.problems import INVALID_QUERY, Problem
from ingest_core.api.texts import enumerated
from ingest_core.models import Priority, Status
from ingest_core.service.listing import Filters

HOST_PARAMETERS = frozenset({"code", "clientId"})
"""The host takes a function key and the name of the key from these."""

_CURSOR = re.compile(r"([0-9a-f]{8})-([0-9]{16}-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")

Name = TypeVar("Name", bound=StrEnum)


def parameters(request: Request, *known: str) -> dict[str, str]:
    """The query parameters, each of which must be `known`. Raises `Problem` 422."""
    values: dict[str, str] = {}
    query = request.url.partition("?")[2].partition("#")[0]  # the host in a URL may be anything, so it is not parsed
    for name, value in parse_qsl(query, keep_blank_values=True, errors="replace"):
        if name in HOST_PARAMETERS:
            continue
        if name not in known:
            allowed = enumerated(known) if known else "none"
            raise Problem(INVALID_QUERY, f"Unknown parameter {name[:100]!r}: this path takes {allowed}.")
        if name in values:
            raise Problem(INVALID_QUERY, f"The parameter {name} occurs twice: give it once.")
        if not value:
            raise Problem(INVALID_QUERY, f"The parameter {name} is empty: give it a value, or leave it out.")
        values[name] = value
    return values


def number(values: Mapping[str, str], name: str, *, default: int, least: int, most: int) -> int:
    """A parameter that is an integer in a range. Raises `Problem` 422."""
    text = values.get(name, str(default))
    if re.fullmatch(r"[0-9]{1,7}", text, re.ASCII) and least <= int(text) <= most:
        return int(text)
    raise Problem(INVALID_QUERY, f"Give {name} as an integer from {least} to {most}, or leave it out.")


def filters(values: Mapping[str, str]) -> Filters:
    """The filters of a list. Raises `Problem` 422."""
    return Filters(
        statuses=_names(values, "status", Status),
        priorities=_names(values, "priority", Priority),
    )


def cursor_text(chosen: Filters, key: str) -> str:
    """The cursor of the page after this key, for these filters only."""
    return f"{_tie(chosen)}-{key}"


def key_of_cursor(values: Mapping[str, str], chosen: Filters) -> str:
    """The key after which a page begins; empty for the first page. Raises `Problem` 422."""
    text = values.get("cursor")
    if text is None:
        return ""
    match = _CURSOR.fullmatch(text)
    if match is None:
        raise Problem(INVALID_QUERY, "Give the next_cursor of the page before as cursor, or leave it out.")
    if match[1] != _tie(chosen):
        detail = "This cursor belongs to a list with other filters: give the same status and priority with it."
        raise Problem(INVALID_QUERY, detail)
    return match[2]


def _names(values: Mapping[str, str], name: str, kind: type[Name]) -> frozenset[Name]:
    if name not in values:
        return frozenset()
    try:
        return frozenset(kind(text) for text in values[name].split(","))
    except ValueError:
        allowed = ", ".join(kind)
        raise Problem(INVALID_QUERY, f"Give {name} as one or several of {allowed}, with commas between them.") from None


def _tie(chosen: Filters) -> str:
    """A short hash that is equal for equal filters, however they were written."""
    text = f"{sorted(chosen.statuses)} {sorted(chosen.priorities)}"
    return hashlib.sha256(text.encode()).hexdigest()[:8]
