"""What `POST /ingest` accepts: the bytes of a request become an `IngestRequest`, or a `Problem` that says what to fix.

It is strict, because a wrong ID costs a call of the external API: no number is rounded, no text is converted, and no
key is ignored.
"""

import re
from itertools import islice
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, FailFast, Field, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from ingest_core.api.json_body import (
    MAX_ERRORS,
    duplicate_errors,
    error_at,
    escape,
    invalid,
    json_type,
    parse_json,
    unknown_field_detail,
)
from ingest_core.api.problems import INVALID_KEY, Problem
from ingest_core.api.texts import MAX_LABEL, NO_CONTROL_CHARACTER, has_only_characters
from ingest_core.models import IngestRequest, Priority

MAX_ID = 1_000_000_007
IDS_CHECKED_TOGETHER = 1000
"""Wrong IDs are collected in slices of this size, so that 100 000 wrong IDs do not block the event loop."""


def _readable_label(text: str) -> str:
    if not has_only_characters(text):
        raise ValueError("control character")
    return text


Label = Annotated[
    str,
    Field(min_length=1, max_length=MAX_LABEL, json_schema_extra={"pattern": NO_CONTROL_CHARACTER}),
    AfterValidator(_readable_label),
]


class IngestBody(BaseModel):
    """A list of IDs to fetch."""

    model_config = ConfigDict(extra="forbid", strict=True)

    ids: Annotated[
        list[Annotated[int, Field(ge=1, le=MAX_ID)]],
        Field(
            min_length=1,
            description="Kept in this order; duplicates are fetched as often as they stand here.",
            json_schema_extra={"maxItems": 100_000},  # for the document alone, because `max_ids` is a setting
        ),
        FailFast(),
    ]
    priority: Annotated[Priority, Field(strict=False)]
    label: Label = Field("", description="A name for people.")


class Body(BaseModel):
    """The fields of a body. The IDs are not checked, because they are validated in slices."""

    model_config = ConfigDict(extra="forbid", strict=True)

    ids: list[Any]
    priority: Annotated[Priority, Field(strict=False)]
    label: Label = ""


_IDS = TypeAdapter(list[Annotated[int, Field(strict=True, ge=1, le=MAX_ID)]])


def parse_request(body: bytes, *, max_ids: int) -> IngestRequest:
    """Validate a body of at most 4 MiB. Raises `Problem` 400 or 422."""
    faultless = _parse_faultless(body)
    if faultless and len(faultless.ids) <= max_ids:
        return faultless
    value, duplicates = parse_json(body)
    errors = duplicate_errors(duplicates)
    fields: dict[str, Any] = {}
    if isinstance(value, dict):
        fields = value
        errors += _field_errors(fields, max_ids=max_ids)
    else:
        errors.append(error_at("", f"Send an object with ids and priority, not {json_type(value)}."))
    if errors:
        raise invalid(errors)
    return IngestRequest(ids=fields["ids"], priority=Priority(fields["priority"]), label=fields.get("label", ""))


def _parse_faultless(body: bytes) -> IngestRequest | None:
    """Parse and check in one go, in two thirds of the time; None when there is, or may be, anything to fix.

    A request's two keys and its priority have six quotation marks, a label has four more. Any
    other number may come from a duplicate key, which this parser does not notice.
    """
    quotation_marks = body.count(b'"')
    if quotation_marks not in (6, 10):
        return None
    try:
        parsed = IngestBody.model_validate_json(body)
    except ValidationError:
        return None
    if quotation_marks != (10 if parsed.label else 6):
        return None
    return IngestRequest(ids=parsed.ids, priority=parsed.priority, label=parsed.label)


def _field_errors(fields: dict[str, Any], *, max_ids: int) -> list[dict[str, str]]:
    errors: list[dict[str, str]] = []
    known = {name: fields[name] for name in Body.model_fields if name in fields}
    try:
        # Pydantic collects all errors before it returns, so it gets only a few of the unknown fields.
        Body.model_validate(dict(islice(fields.items(), MAX_ERRORS)) | known)
    except ValidationError as error:
        errors = [_readable(entry, ()) for entry in error.errors(include_url=False)[:MAX_ERRORS]]
    ids = fields.get("ids")
    if not isinstance(ids, list):
        return errors
    if not 1 <= len(ids) <= max_ids:
        errors.append(error_at("/ids", f"Give 1 to {max_ids} IDs, not {len(ids)}."))
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
        return error_at("", "A key is not Unicode text.")
    if prefix:
        path = [prefix[0], prefix[1] + int(path[0])]
    pointer = "".join(f"/{escape(str(part))}" for part in path)
    match entry["type"], path[0]:
        case "missing", _:
            detail = "This field is required."
        case "extra_forbidden", _:
            detail = unknown_field_detail(tuple(Body.model_fields))
        case _, "priority":
            detail = "Must be HIGH, MEDIUM or LOW."
        case _, "label":
            detail = f"Must be a text of 1 to {MAX_LABEL} characters, none of them a control character."
        case _, "ids" if len(path) == 1:
            detail = "Must be a list of integers."
        case _:
            detail = f"Must be an integer from 1 to {MAX_ID}."
    return error_at(pointer, detail)


_KEY = re.compile(r"[\x20-\x7e]{1,255}")
_QUOTED = re.compile(r'"((?:[\x20-\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"')


def idempotency_key(header: str | None) -> str | None:
    """The key of a header; a string in quotation marks (RFC 9651, section 3.3.3) is the key between them.

    Raises `Problem` 400 when it is not 1 to 255 printable ASCII characters.
    """
    if header is None:
        return None
    quoted = _QUOTED.fullmatch(header)
    key = re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else header
    if _KEY.fullmatch(key):
        return key
    raise Problem(INVALID_KEY, "Send 1 to 255 printable ASCII characters in Idempotency-Key.")
