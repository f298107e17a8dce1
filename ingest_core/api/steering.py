"""The small bodies by which people steer: a new priority, why something is cancelled, for how long a lane is paused."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ingest_core.api.json_body import error_at, invalid, parse_object
from ingest_core.api.texts import MAX_REASON, has_only_characters
from ingest_core.models import Priority

_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class PauseRequest:
    """Why a lane is paused, and when the pause ends by itself."""

    reason: str
    until: datetime | None


def parse_priority(body: bytes) -> Priority:
    """The body of a change of priority. Raises `Problem` 400 or 422."""
    fields, errors = parse_object(body, "priority")
    name = fields.get("priority")
    if "priority" not in fields:
        errors.append(error_at("/priority", "This field is required."))
    elif name not in list(Priority):
        errors.append(error_at("/priority", "Must be HIGH, MEDIUM or LOW."))
    if errors:
        raise invalid(errors)
    return Priority(str(name))


def parse_reason(body: bytes) -> str:
    """The body of a cancel, which may be left out. Raises `Problem` 400 or 422."""
    fields, errors = _optional(body, "reason")
    reason = _reason(fields, errors)
    if errors:
        raise invalid(errors)
    return reason


def parse_pause(body: bytes, *, now: datetime) -> PauseRequest:
    """The body of a pause, which may be left out. Raises `Problem` 400 or 422."""
    fields, errors = _optional(body, "reason", "until")
    reason = _reason(fields, errors)
    until = _until(fields, errors, now)
    if errors:
        raise invalid(errors)
    return PauseRequest(reason=reason, until=until)


def parse_nothing(body: bytes) -> None:
    """A body that has no fields, and may be left out. Raises `Problem` 400 or 422."""
    _, errors = _optional(body)
    if errors:
        raise invalid(errors)


def _optional(body: bytes, *known: str) -> tuple[dict[str, Any], list[dict[str, str]]]:
    return parse_object(body, *known) if body.strip() else ({}, [])


def _reason(fields: dict[str, Any], errors: list[dict[str, str]]) -> str:
    reason = fields.get("reason")
    if reason is None:
        return ""
    if isinstance(reason, str) and len(reason) <= MAX_REASON and has_only_characters(reason):
        return reason
    detail = f"Must be a text of at most {MAX_REASON} characters, none of them a control character."
    errors.append(error_at("/reason", detail))
    return ""


def _until(fields: dict[str, Any], errors: list[dict[str, str]], now: datetime) -> datetime | None:
    text = fields.get("until")
    if text is None:
        return None
    until = _moment(text) if isinstance(text, str) else None
    if until is None:
        detail = "Must be a time with an offset, like 2026-12-01T08:00:00Z (RFC 3339), or null."
        errors.append(error_at("/until", detail))
    elif until <= now:
        errors.append(error_at("/until", f"Must be in the future: it is {now.isoformat(timespec='seconds')} now."))
    return until


def _moment(text: str) -> datetime | None:
    if not _RFC_3339.fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
