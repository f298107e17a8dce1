"""Turns the value that an HTTP function returns into an answer. A value that cannot be sent raises an error (a 500)."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from azure.functions.http import HttpResponseConverter

from emulator.text import text_as_response

if TYPE_CHECKING:
    from http.cookies import Morsel

WRITTEN_BY_SERVER = ("content-length", "transfer-encoding", "date")
WITHOUT_BODY = (204, 205, 304)
COOKIE_DATE = "%a, %d %b %Y %H:%M:%S GMT"
COOKIE_ATTRIBUTES = ("expires", "max-age", "domain", "path", "secure", "samesite", "httponly")
HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
HEADER_VALUE = re.compile(r"[\t\x20-\x7e]*")

Header = tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The answer to the caller."""

    status: int
    headers: Sequence[Header] = ()
    body: bytes = b""


NOT_FOUND = Answer(status=404)


def answer(result: object) -> Answer:
    """Turn the value that an HTTP function returned into an answer; TypeError or ValueError if that cannot be done."""
    response = text_as_response(result) if isinstance(result, str) else result
    try:
        encoded = HttpResponseConverter.encode(response, expected_type=None).value
    except NotImplementedError:
        raise TypeError(f"an HTTP function must return str or HttpResponse, not {type(result).__name__}") from None
    status = _status(encoded["status_code"].value)
    headers = _headers({name: value.value for name, value in encoded["headers"].items()})
    for cookies in encoded["cookies"] or ():
        headers += [("Set-Cookie", _cookie(morsel)) for morsel in cookies.values()]
    body = b"" if status in WITHOUT_BODY else encoded["body"].value
    return Answer(status=status, headers=tuple(headers), body=body)


def json_answer(content: object) -> Answer:
    """Answer with JSON, as the host's own endpoints do."""
    body = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
    return Answer(status=200, headers=(("Content-Type", "application/json; charset=utf-8"),), body=body)


def _status(text: str) -> int:
    """Read a status code. A text that is not a number means 200; ValueError for a number that is no final status."""
    status = int(text) if re.fullmatch(r"\s*[+-]?[0-9]{1,9}\s*", text) else 200
    if not 200 <= status <= 999:
        raise ValueError(f"HTTP has no final status {status}")
    return status


def _headers(returned: Mapping[str, str]) -> list[Header]:
    """Return the headers that are sent. If several names differ only in case, the first header is sent."""
    headers: dict[str, Header] = {}
    for name, value in returned.items():
        if not HEADER_NAME.fullmatch(name) or not HEADER_VALUE.fullmatch(value):
            raise ValueError(f"the header {name!r}: {value!r} cannot be sent")
        key = name.lower()
        if key == "content-type":
            if value:
                headers.setdefault(key, ("Content-Type", value.strip("\t ")))
        elif key not in WRITTEN_BY_SERVER:
            headers.setdefault(key, (name, value.strip("\t ")))
    return list(headers.values())


def _cookie(morsel: "Morsel[str]") -> str:
    """Write a cookie from its attributes, as the host does; ValueError if an attribute is wrong."""
    attributes: dict[str, Any] = dict(morsel)
    attributes["samesite"] = attributes["samesite"].lower()
    if attributes["max-age"]:
        attributes["max-age"] = str(int(float(attributes["max-age"])))
    if attributes["expires"]:
        expires = datetime.strptime(attributes["expires"], COOKIE_DATE)  # noqa: DTZ007 - the format says GMT
        attributes["expires"] = expires.strftime(COOKIE_DATE)
    parts = [f"{morsel.key}={quote(morsel.value, safe='')}"]
    for name in COOKIE_ATTRIBUTES:
        value = attributes[name]
        if value is True:
            parts.append(name)
        elif value or name in ("domain", "path"):  # the host sends these two even if they are empty
            parts.append(f"{name}={value}")
    return "; ".join(parts)
