"""A request becomes what the Python worker hands a function, and what it returns becomes an answer.

The host's rules are not HTTP's: a body needs a Content-Length, for one. What cannot be sent raises: that is a 500.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote, unquote

from azure.functions import HttpResponse
from azure.functions.http import HttpRequest, HttpResponseConverter

Texts = Mapping[str, str]

OURS = ("content-length", "transfer-encoding", "date")  # the server writes these itself
DATE = "%a, %d %b %Y %H:%M:%S GMT"
# What Newtonsoft.Json, the host's reader, lets pass: 'quotes', bare names, a comma too many.
TOKENS = re.compile(
    r"""(?s)("(?:[^"\\]|\\.)*")|'((?:[^'\\]|\\.)*)'|(?<![\w$])([A-Za-z_$][\w$]*+)(?=\s*:)|,(?=\s*[\]}])"""
)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What goes back to the caller."""

    status: int
    headers: Sequence[tuple[str, str]] = ()
    body: bytes = b""


NOT_FOUND = Answer(status=404)


def unescape(text: str) -> str:
    """Decode the percent escapes that are UTF-8 and leave the others."""
    decoded = unquote(text, errors="surrogateescape")
    return re.sub("[\udc80-\udcff]", lambda escaped: f"%{ord(escaped[0]) - 0xDC00:02X}", decoded)


def normalize(raw_path: str) -> str:
    """Return the path that is routed: decoded but for `%2F`, without dot segments."""
    path = unescape(re.sub("%(?=2f)", "%25", raw_path, flags=re.IGNORECASE))
    kept: list[str] = []
    segments = path.split("/")[1:]
    for segment in segments:
        kept[len(kept) - (segment == "..") :] = [] if segment in (".", "..") else [segment]
    return "/" + "/".join(kept) + ("/" if kept and segments[-1] in (".", "..") else "")


def _query_parameters(query: str) -> dict[str, str]:
    """Return the query's keys and values; a repeated key is spelled as it was the second time."""
    found: dict[str, tuple[str, list[str]]] = {}
    for pair in query.split("&"):
        key, _, value = (unescape(part) for part in pair.replace("+", " ").partition("="))
        name, values = found.get(key.lower(), (key, []))
        found[key.lower()] = (key if len(values) == 1 else name, [*values, value])
    return {name: ",".join(filter(None, values)) for name, values in found.values() if any(values)}


def read_headers(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return the headers, whose names are in lower case; UnicodeDecodeError if a value is not UTF-8."""
    found: dict[str, list[str]] = {}
    for name, value in headers:
        found.setdefault(name.decode(), []).append(value.decode())
    if "transfer-encoding" in found and "content-length" in found:
        found["x-content-length"] = found.pop("content-length")  # so does Kestrel, against request smuggling
    return {name: ",".join(filter(None, values)) for name, values in found.items()}


def request(method: str, path: str, query: str, headers: Texts, values: Texts, body: bytes) -> HttpRequest:
    """Build what the function is handed; `values` are the route's, and the query has its `?`."""
    shown = quote(re.sub("%(?![0-9a-fA-F]{2})", "%25", path), safe="!$&'()*+,-./:;=@_~%")
    url = f"http://{headers['host']}{shown}{query.replace('#', '%23')}"
    params = _query_parameters(query.removeprefix("?"))
    return HttpRequest(method, url, headers=headers, params=params, route_params=values, body_type="bytes", body=body)


def answer(result: object) -> Answer:
    """Turn what an HTTP function returned into an answer."""
    given = _read(result) if isinstance(result, str) else result
    try:
        response = HttpResponseConverter.encode(given, expected_type=None).value
    except NotImplementedError:
        raise TypeError(f"an HTTP function must return str or HttpResponse, not {type(result).__name__}") from None
    text = response["status_code"].value
    status = int(text) if re.fullmatch(r"\s*[+-]?[0-9]{1,9}\s*", text) else 200
    if not 200 <= status <= 999:
        raise ValueError(f"HTTP has no final status {status}")
    headers: dict[str, tuple[str, str]] = {}
    for name, value in ((name, one.value) for name, one in response["headers"].items()):
        if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name) or not re.fullmatch(r"[\t\x20-\x7e]*", value):
            raise ValueError(f"the header {name!r}: {value!r} cannot be sent")
        key = name.lower()
        if key not in OURS and (value or key != "content-type"):
            headers.setdefault(key, ("Content-Type" if key == "content-type" else name, value.strip("\t ")))
    cookies = [("Set-Cookie", _cookie(morsel)) for one in response["cookies"] or () for morsel in one.values()]
    body = b"" if status in (204, 205, 304) else response["body"].value
    return Answer(status=status, headers=(*headers.values(), *cookies), body=body)


def _read(text: str) -> HttpResponse:
    """Turn a returned str into a response: JSON if it is some; an object with a `body` is a response as a whole."""
    value: Any = text
    with suppress(ValueError):
        value = json.loads(TOKENS.sub(_strict, text).strip() or "null", strict=False, parse_constant=str)
    given = {key.lower(): one for key, one in value.items()} if isinstance(value, dict) else {}
    said, indent = (given, None) if "body" in given else ({"body": value}, 2)
    body, headers = said["body"], {name: str(one) for name, one in said.get("headers", {}).items()}
    mime = {n: f"{v}; charset=utf-8" for n, v in headers.items() if n.lower() == "content-type" and "charset" not in v}
    shown = "" if body is None else str(body).removesuffix(".0" if isinstance(body, float) else "")
    if isinstance(body, dict | list):
        shown = json.dumps(body, ensure_ascii=False, indent=indent, separators=None if indent else (",", ":"))
    return HttpResponse(shown, headers=headers | mime, status_code=said.get("statuscode", said.get("status")))


def _strict(token: re.Match[str]) -> str:
    escapes, text = {"\\'": "'", '"': '\\"'}, token[2] or token[3] or ""
    quoted = re.sub(r'\\.|"', lambda one: escapes.get(one[0], one[0]), text, flags=re.DOTALL)
    return token[1] or (f'"{quoted}"' if token[2] is not None or token[3] else "")


def _cookie(morsel: Any) -> str:  # noqa: ANN401 - http.cookies.Morsel
    """Write a cookie as the host does, which is handed its parts, empty ones too; ValueError if one is wrong."""
    said = dict(morsel, samesite=morsel["samesite"].lower())
    said["max-age"] = said["max-age"] and str(int(float(said["max-age"])))
    said["expires"] = said["expires"] and datetime.strptime(said["expires"], DATE).strftime(DATE)  # noqa: DTZ007 - GMT
    names = ("expires", "max-age", "domain", "path", "secure", "samesite", "httponly")
    kept = [name for name in names if said[name] or name in ("domain", "path")]
    shown = [name if said[name] is True else f"{name}={said[name]}" for name in kept]
    return "; ".join([f"{morsel.key}={quote(morsel.value, safe='')}", *shown])
