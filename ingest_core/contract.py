"""What `POST /ingest` accepts: the bytes of a request become a validated one, or a `Problem` that says what to mend.

Strict, as a wrong ID costs a call of the external API: no number is rounded, no text is converted, no key is ignored.
"""

import hashlib
import json
import re
from codecs import BOM_UTF8
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from struct import pack
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, FailFast, Field, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from ingest_core.errors import Problem
from ingest_core.models import Priority

MAX_BODY_BYTES = 4 * 1024 * 1024
MAX_ID = 1_000_000_007
MAX_ERRORS = 20
IDS_CHECKED_TOGETHER = 1000
"""Wrong IDs are collected in slices of this size, so that 100 000 of them do not hold the event loop."""


@dataclass(frozen=True, kw_only=True)
class IngestRequest:
    """A validated request. IDs keep their order and their duplicates."""

    ids: Sequence[int]
    priority: Priority

    @property
    def digest(self) -> str:
        """Equal for requests with equal values, however their JSON was written."""
        packed = pack(f"<{len(self.ids)}I", *self.ids)
        return hashlib.sha256(self.priority.encode() + b"\0" + packed).hexdigest()


class _FaultlessBody(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    ids: Annotated[list[Annotated[int, Field(ge=1, le=MAX_ID)]], Field(min_length=1), FailFast()]
    priority: Annotated[Priority, Field(strict=False)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    ids: list[Any]
    priority: Annotated[Priority, Field(strict=False)]


_IDS = TypeAdapter(list[Annotated[int, Field(strict=True, ge=1, le=MAX_ID)]])


def parse_request(body: bytes, *, max_ids: int) -> IngestRequest:
    """Validate a body. Raises `Problem` 400, 413 or 422."""
    if len(body) > MAX_BODY_BYTES:
        raise Problem(
            413, "Body too large", f"Send at most {MAX_BODY_BYTES} bytes; split the list into several requests."
        )
    faultless = _parse_faultless(body)
    if faultless and len(faultless.ids) <= max_ids:
        return faultless
    value, duplicates = _parse_json(body)
    errors = [_error(f"/{_escape(name)}", "This key occurs twice: give it once.") for name in duplicates]
    fields: dict[str, Any] = {}
    if isinstance(value, dict):
        fields = value
        errors += _field_errors(fields, max_ids=max_ids)
    else:
        errors.append(_error("", f"Send an object with ids and priority, not {_json_type(value)}."))
    if errors:
        raise Problem(
            422, "Request does not match the contract", "Mend what `errors` lists.", errors=errors[:MAX_ERRORS]
        )
    return IngestRequest(ids=fields["ids"], priority=Priority(fields["priority"]))


def _parse_faultless(body: bytes) -> IngestRequest | None:
    """Parse and check in one go, in two thirds of the time; None when there is, or may be, anything to mend.

    A request's two keys and its priority have six quotation marks. More may be a duplicate key, which goes unnoticed
    here.
    """
    if body.count(b'"') != 6:
        return None
    try:
        found = _FaultlessBody.model_validate_json(body)
    except ValidationError:
        return None
    return IngestRequest(ids=found.ids, priority=found.priority)


def _parse_json(body: bytes) -> tuple[Any, list[str]]:
    """The value, and the keys that its outermost object has more than once.

    A key that occurs twice further in stands in a value that is wrong anyway.
    """
    outermost: list[tuple[str, Any]] = []

    def to_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal outermost
        outermost = pairs  # it comes last
        return dict(pairs)

    def refuse_constant(name: str) -> Any:  # noqa: ANN401 # json.loads takes any value from it
        raise _not_json(f"{name} is no JSON value")

    if not body.strip():
        raise _not_json("it is empty")
    if body.startswith(BOM_UTF8):
        raise _not_json("it begins with a byte order mark")
    try:
        value = json.loads(body.decode(), object_pairs_hook=to_object, parse_constant=refuse_constant)
    except UnicodeDecodeError as error:
        raise _not_json(f"it is not UTF-8 (byte {error.start})") from error
    except json.JSONDecodeError as error:
        raise _not_json(f"{error.msg} (line {error.lineno}, column {error.colno})") from error
    except RecursionError as error:
        raise _not_json("it is nested too deeply") from error
    except ValueError as error:  # json.JSONDecodeError is one too: this comes last
        raise _not_json("it has an integer of thousands of digits") from error
    if not isinstance(value, dict) or len(value) == len(outermost):
        return value, []
    counts = Counter(name for name, _ in outermost)
    return value, [name for name, count in counts.items() if count > 1][:MAX_ERRORS]


def _not_json(reason: str) -> Problem:
    return Problem(400, "Body is not JSON", f"The body cannot be read: {reason}. Send a JSON object in UTF-8.")


def _field_errors(fields: dict[str, Any], *, max_ids: int) -> list[dict[str, str]]:
    errors: list[dict[str, str]] = []
    known = {name: fields[name] for name in _Body.model_fields if name in fields}
    try:
        # A few of the unknown fields are enough: pydantic notes every error before any is looked at.
        _Body.model_validate(dict(islice(fields.items(), MAX_ERRORS)) | known)
    except ValidationError as error:
        errors = [_readable(entry, ()) for entry in error.errors(include_url=False)[:MAX_ERRORS]]
    ids = fields.get("ids")
    if not isinstance(ids, list):
        return errors
    if not 1 <= len(ids) <= max_ids:
        errors.append(_error("/ids", f"Give 1 to {max_ids} IDs, not {len(ids)}."))
        return errors
    for start in range(0, len(ids), IDS_CHECKED_TOGETHER):
        if len(errors) >= MAX_ERRORS:
            break
        try:
            _IDS.validate_python(ids[start : start + IDS_CHECKED_TOGETHER])
        except ValidationError as error:
            errors += [_readable(entry, ("ids", start)) for entry in error.errors(include_url=False)[:MAX_ERRORS]]
    return errors


def _readable(entry: ErrorDetails, prefix: tuple[str, int] | tuple[()]) -> dict[str, str]:
    path: list[str | int] = list(entry["loc"])
    if not path:
        return _error("", "A key is not Unicode text.")
    if prefix:
        path = [prefix[0], prefix[1] + int(path[0])]
    pointer = "".join(f"/{_escape(str(part))}" for part in path)
    match entry["type"], path[0]:
        case "missing", _:
            detail = "This field is required."
        case "extra_forbidden", _:
            detail = "Unknown field: only ids and priority are allowed."
        case _, "priority":
            detail = "Must be HIGH, MEDIUM or LOW."
        case _, "ids" if len(path) == 1:
            detail = "Must be a list of integers."
        case _:
            detail = f"Must be an integer from 1 to {MAX_ID}."
    return _error(pointer, detail)


def _error(pointer: str, detail: str) -> dict[str, str]:
    return {"pointer": pointer, "detail": detail}


def _escape(name: str) -> str:
    """A reference token of a JSON pointer (RFC 6901), cut to a length that is fit to read, free of lone surrogates."""
    readable = name[:100].encode(errors="backslashreplace").decode()
    return readable.replace("~", "~0").replace("/", "~1")


def _json_type(value: object) -> str:
    names = {list: "a list", str: "a string", int: "a number", float: "a number", bool: "a boolean"}
    return names.get(type(value), "null")


_KEY = re.compile(r"[\x20-\x7e]{1,255}")


def check_idempotency_key(key: str | None) -> str | None:
    """The key as given. Raises `Problem` 400 when it is not 1 to 255 printable ASCII characters."""
    if key is None or _KEY.fullmatch(key):
        return key
    raise Problem(400, "Idempotency-Key is not usable", "Send 1 to 255 printable ASCII characters in Idempotency-Key.")
