"""The small bodies by which people steer: a new priority, why something is cancelled, for how long a lane is paused.

The OpenAPI document is made from the same models that validate.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
)

from ingest_core.api.json_body import error_at, invalid, parse_object
from ingest_core.api.texts import MAX_REASON, NO_CONTROL_CHARACTER, has_only_characters
from ingest_core.models import Priority

_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)

_DETAILS: Mapping[str, str] = MappingProxyType(
    {
        "priority": "Must be HIGH, MEDIUM or LOW.",
        "reason": f"Must be a text of at most {MAX_REASON} characters, none of them a control character.",
        "until": "Must be a time with an offset, like 2026-12-01T08:00:00Z (RFC 3339), or null.",
    }
)


def _or_null(schema: dict[str, Any]) -> WithJsonSchema:
    return WithJsonSchema({"anyOf": [schema, {"type": "null"}]})


def _readable_reason(text: str) -> str:
    if not has_only_characters(text):
        raise ValueError(_DETAILS["reason"])
    return text


def _moment(value: object) -> datetime | None:
    if value is None:
        return None
    if not isinstance(value, str) or not _RFC_3339.fullmatch(value):
        raise ValueError(_DETAILS["until"])
    try:
        return datetime.fromisoformat(value.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(_DETAILS["until"]) from None


def _in_the_future(moment: datetime | None, info: ValidationInfo) -> datetime | None:
    now: datetime | None = info.context
    if moment and now and moment <= now:
        raise ValueError(f"Must be in the future: it is {now.isoformat(timespec='seconds')} now.")
    return moment


Reason = Annotated[
    str,
    Field(max_length=MAX_REASON),
    AfterValidator(_readable_reason),
    BeforeValidator(lambda value: "" if value is None else value),
    _or_null({"type": "string", "maxLength": MAX_REASON, "pattern": NO_CONTROL_CHARACTER}),
]

Until = Annotated[
    datetime | None,
    BeforeValidator(_moment),
    AfterValidator(_in_the_future),
    _or_null({"type": "string", "format": "date-time"}),
]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class PriorityChange(_Body):
    """The lane that an ingestion moves to. It goes to the back."""

    priority: Annotated[Priority, Field(strict=False)]


class CancelRequest(_Body):
    """Why an ingestion is cancelled, for people."""

    reason: Reason = ""


class PauseRequest(_Body):
    """Why a lane is paused, for people, and when the pause ends by itself."""

    reason: Reason = ""
    until: Until = Field(None, description="A time in the future, with an offset.")


class RetryRequest(_Body):
    """A body without fields."""


_Model = TypeVar("_Model", bound=_Body)


def parse_priority(body: bytes) -> Priority:
    """The body of a change of priority. Raises `Problem` 400 or 422."""
    return _parse(PriorityChange, body).priority


def parse_reason(body: bytes) -> str:
    """The body of a cancel, which may be left out. Raises `Problem` 400 or 422."""
    return _parse(CancelRequest, _or_empty(body)).reason


def parse_pause(body: bytes, *, now: datetime) -> PauseRequest:
    """The body of a pause, which may be left out. Raises `Problem` 400 or 422."""
    return _parse(PauseRequest, _or_empty(body), now=now)


def parse_nothing(body: bytes) -> None:
    """A body that has no fields, and may be left out. Raises `Problem` 400 or 422."""
    _parse(RetryRequest, _or_empty(body))


def _or_empty(body: bytes) -> bytes:
    return body if body.strip() else b"{}"


def _parse(model: type[_Model], body: bytes, *, now: datetime | None = None) -> _Model:
    fields, errors = parse_object(body, *model.model_fields)
    known = {name: fields[name] for name in model.model_fields if name in fields}
    try:
        parsed = model.model_validate(known, context=now)
    except ValidationError as error:
        for entry in error.errors(include_url=False):
            name = str(entry["loc"][0])
            errors.append(error_at(f"/{name}", _detail(entry["type"], name, entry.get("ctx", {}))))
        raise invalid(errors) from None
    if errors:
        raise invalid(errors)
    return parsed


def _detail(kind: str, name: str, context: Mapping[str, object]) -> str:
    match kind:
        case "missing":
            return "This field is required."
        case "value_error":
            return str(context["error"])
        case _:
            return _DETAILS[name]
