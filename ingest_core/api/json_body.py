"""How a JSON body is read: strictly, and with an error for each place that is wrong."""

import json
from codecs import BOM_UTF8
from collections import Counter
from math import inf
from typing import Any

from ingest_core.api.messages import Request
from ingest_core.api.problems import INVALID_JSON, INVALID_REQUEST, LENGTH_REQUIRED, TOO_LARGE, Problem
from ingest_core.api.texts import enumerated

MAX_BODY_BYTES = 4 * 1024 * 1024
MAX_ERRORS = 20
MANY_DIGITS = 100
"""No field takes an integer that is so long."""


def body_of(request: Request) -> bytes:
    """The bytes of a body. Raises `Problem` 411 or 413."""
    if "chunked" in request.headers.get("transfer-encoding", "").lower():
        detail = "Send the body with a Content-Length: a chunked body reaches no function of this host."
        raise Problem(LENGTH_REQUIRED, detail)
    if len(request.body) > MAX_BODY_BYTES:
        detail = f"Send at most {MAX_BODY_BYTES} bytes; split the list into several requests."
        raise Problem(TOO_LARGE, detail)
    return request.body


def parse_json(body: bytes) -> tuple[Any, list[str]]:
    """The value, and the keys that its outermost object has more than once. Raises `Problem` 400.

    Inner objects are not checked for duplicate keys, because no field may have an object in it.
    """
    outermost: list[tuple[str, Any]] = []

    def to_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal outermost
        outermost = pairs  # the outermost object is read last
        return dict(pairs)

    def refuse_constant(name: str) -> Any:  # noqa: ANN401 # json.loads takes any value from it
        raise _not_json(f"{name} is no JSON value")

    if not body.strip():
        raise _not_json("it is empty")
    if body.startswith(BOM_UTF8):
        raise _not_json("it begins with a byte order mark")
    try:
        value = _load(body.decode(), object_pairs_hook=to_object, parse_constant=refuse_constant)
    except UnicodeDecodeError as error:
        raise _not_json(f"it is not UTF-8 (byte {error.start})") from error
    except json.JSONDecodeError as error:
        raise _not_json(f"{error.msg} (line {error.lineno}, column {error.colno})") from error
    except RecursionError as error:
        raise _not_json("it is nested too deeply") from error
    if not isinstance(value, dict) or len(value) == len(outermost):
        return value, []
    counts = Counter(name for name, _ in outermost)
    return value, [name for name, count in counts.items() if count > 1][:MAX_ERRORS]


def _load(text: str, **hooks: Any) -> Any:  # noqa: ANN401 # as json.loads
    try:
        return json.loads(text, **hooks)
    except json.JSONDecodeError:
        raise
    except ValueError:  # Python limits the digits of an integer (sys.set_int_max_str_digits); a float has no limit
        return json.loads(text, parse_int=lambda digits: int(digits) if len(digits) < MANY_DIGITS else inf, **hooks)


def parse_object(body: bytes, *known: str) -> tuple[dict[str, Any], list[dict[str, str]]]:
    """The fields of an object, and the errors in its keys. Raises `Problem` 400, or 422 if it is no object."""
    value, duplicates = parse_json(body)
    if not isinstance(value, dict):
        raise invalid([error_at("", f"Send an object, not {json_type(value)}.")])
    errors = duplicate_errors(duplicates)
    for name in value:
        if name not in known and len(errors) < MAX_ERRORS:
            errors.append(error_at(f"/{escape(name)}", unknown_field_detail(known)))
    return value, errors


def invalid(errors: list[dict[str, str]]) -> Problem:
    """The problem that lists what is wrong."""
    return Problem(INVALID_REQUEST, "Fix the fields listed in `errors`.", errors=errors[:MAX_ERRORS])


def duplicate_errors(names: list[str]) -> list[dict[str, str]]:
    """An error for each key that occurs twice."""
    return [error_at(f"/{escape(name)}", "This key occurs twice: give it once.") for name in names]


def unknown_field_detail(known: tuple[str, ...]) -> str:
    """The detail for a field that does not exist."""
    return f"Unknown field: this body takes {enumerated(known) if known else 'none'}."


def error_at(pointer: str, detail: str) -> dict[str, str]:
    """One of `errors`: the place as a JSON pointer (RFC 6901), and what must be there."""
    return {"pointer": pointer, "detail": detail}


def escape(name: str) -> str:
    """A reference token of a JSON pointer, cut to a length that is fit to read, free of lone surrogates."""
    readable = name[:100].encode(errors="backslashreplace").decode()
    return readable.replace("~", "~0").replace("/", "~1")


def json_type(value: object) -> str:
    """What a JSON value is called."""
    names = {list: "a list", str: "a string", int: "a number", float: "a number", bool: "a boolean", dict: "an object"}
    return names.get(type(value), "null")


def _not_json(reason: str) -> Problem:
    return Problem(INVALID_JSON, f"The body cannot be read: {reason}. Send a JSON object in UTF-8.")
