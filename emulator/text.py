"""Turns a returned str into a response. Like the host, it parses the str as JSON by Newtonsoft.Json's lenient rules.

A JSON object with a `body` is a whole response (`HttpBinding.ParseResponseObject`). Any other JSON value becomes the
body, as Newtonsoft.Json writes it. A str that is not JSON is the body unchanged.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from azure.functions import HttpResponse

# Newtonsoft.Json also accepts single quotes, names without quotes and a comma before a closing bracket.
LENIENT_TOKEN = re.compile(
    r"""
      (?P<string>"(?:[^"\\]|\\.)*")
    | '(?P<single_quoted>(?:[^'\\]|\\.)*)'
    | (?<![\w$])(?P<bare_name>[A-Za-z_$][\w$]*+)(?=\s*:)
    | ,(?=\s*[\]}])
    """,
    re.DOTALL | re.VERBOSE,
)
ESCAPE_OR_QUOTE = re.compile(r'\\.|"', re.DOTALL)


def text_as_response(text: str) -> HttpResponse:
    """Return the response that the host makes of a returned str."""
    value = _read(text)
    if isinstance(value, dict):
        fields = {key.lower(): field for key, field in value.items()}
        if "body" in fields:
            return _whole_response(fields)
    return HttpResponse(_written(value, indent=2))


def _read(text: str) -> Any:  # noqa: ANN401 - JSON is anything
    try:
        return json.loads(LENIENT_TOKEN.sub(_strict, text).strip() or "null", strict=False, parse_constant=str)
    except ValueError:
        return text


def _strict(token: re.Match[str]) -> str:
    """Write a token as strict JSON; a trailing comma is removed."""
    if token["string"] is not None:
        return token["string"]
    if token["bare_name"] is not None:
        return f'"{token["bare_name"]}"'
    if token["single_quoted"] is not None:
        return f'"{ESCAPE_OR_QUOTE.sub(_in_double_quotes, token["single_quoted"])}"'
    return ""


def _in_double_quotes(match: re.Match[str]) -> str:
    """Change an escape or a double quote in a single-quoted string to fit a double-quoted string."""
    return {"\\'": "'", '"': '\\"'}.get(match[0], match[0])


def _whole_response(fields: Mapping[str, Any]) -> HttpResponse:
    headers = {}
    for name, value in fields.get("headers", {}).items():
        headers[name] = str(value)
        if name.lower() == "content-type" and "charset" not in headers[name]:
            headers[name] += "; charset=utf-8"
    status = fields.get("statuscode", fields.get("status"))
    return HttpResponse(_written(fields["body"], indent=None), headers=headers, status_code=status)


def _written(value: object, *, indent: int | None) -> str:
    """Write a JSON value as .NET does: strings without quotes, true as `True`, null as nothing, 1.0 as 1."""
    if value is None:
        return ""
    if isinstance(value, dict | list):
        separators = (",", ":") if indent is None else None
        return json.dumps(value, ensure_ascii=False, indent=indent, separators=separators)
    if isinstance(value, float):
        return str(value).removesuffix(".0")
    return str(value)
