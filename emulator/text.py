"""A function that returns a str: the host reads it as JSON if it can, in the wide sense of Newtonsoft.Json.

An object with a `body` is a whole response (`HttpBinding.ParseResponseObject`). Any other JSON value is the body, as
Newtonsoft.Json writes it, and a str that is no JSON is the body as it is.
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
    """Write a token as strict JSON has it; a trailing comma becomes nothing."""
    if token["string"] is not None:
        return token["string"]
    if token["bare_name"] is not None:
        return f'"{token["bare_name"]}"'
    if token["single_quoted"] is not None:
        return f'"{ESCAPE_OR_QUOTE.sub(_in_double_quotes, token["single_quoted"])}"'
    return ""


def _in_double_quotes(match: re.Match[str]) -> str:
    """Write an escape or a double quote of a single-quoted string as a double-quoted string has it."""
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
    """Write a JSON value as .NET does: texts without quotes, `True`, nothing for null, 1.0 as 1."""
    if value is None:
        return ""
    if isinstance(value, dict | list):
        separators = (",", ":") if indent is None else None
        return json.dumps(value, ensure_ascii=False, indent=indent, separators=separators)
    if isinstance(value, float):
        return str(value).removesuffix(".0")
    return str(value)
