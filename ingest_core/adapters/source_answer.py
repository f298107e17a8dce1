"""What an answer of the external API means: a pure function of its status, its headers and its body.

Nothing that the API sent enters a message: no reason phrase, no body, no header.
"""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

from ingest_core.errors import AttemptFailed, ItemRejected, SourceError, SourceUnavailable

# About the account or the load, never about one ID: hold the gate, so that a wrong key burns no IDs.
_HOLD = frozenset((401, 407, 429, 503))
# 4xx that another attempt may mend, or an operator who then retries the failed batch. 403 may mean one ID or
# the whole key: to hold would let one private ID block the service, to reject would burn every ID.
_ATTEMPT = frozenset((403, 408, 409, 421, 423, 424, 425))

_LONGEST_WAIT_SECONDS = 2.0**31  # RFC 9111 lets a recipient cap larger numbers here
_STRINGS_AND_WHAT_IS_NOT_BLANK = re.compile(r'(?:"(?:[^"\\]++|\\.)*+"|[^" \t\r\n]++)++')
_NOT_PRINTABLE_ASCII = re.compile(r"[^\x00-\x7e]+")


def refusal(status: int, headers: Mapping[str, str], *, now: datetime) -> SourceError | None:
    """Say what a status means, or `None` for one that brings an item: 2xx but 204 and 205, which have no body.

    Redirects cost an attempt: like 403 they may concern one ID or all.
    """
    text = f"the API answered {_name(status)}"
    if status in _HOLD:
        return SourceUnavailable(text, retry_after_seconds=retry_after(headers, now=now))
    if status in (HTTPStatus.NO_CONTENT, HTTPStatus.RESET_CONTENT):
        return ItemRejected(f"{text}: there is no item")
    if 200 <= status <= 299:
        return None
    if 300 <= status <= 399:
        return AttemptFailed(f"{text}: redirects are not followed")
    if 400 <= status <= 499 and status not in _ATTEMPT:
        return ItemRejected(text)
    return AttemptFailed(text)


def _name(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def retry_after(headers: Mapping[str, str], *, now: datetime) -> float | None:
    """Seconds that `Retry-After` asks to wait, from 0 to 2**31; `None` without one that can be read.

    A date is counted from the answer's own `Date`, so that no two clocks are compared, or else from `now`.
    """
    text = headers.get("Retry-After", "").strip()
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text):
        return min(float(text), _LONGEST_WAIT_SECONDS)
    until = _http_date(text)
    if until is None:
        return None
    since = _http_date(headers.get("Date", "")) or now
    return min(max(0.0, (until - since).total_seconds()), _LONGEST_WAIT_SECONDS)


def _http_date(text: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)


def compact_json(body: bytes, *, max_bytes: int) -> str:
    """Turn a JSON text into printable ASCII on one line that means the same; numbers keep every digit.

    Raises `AttemptFailed` for what is not JSON, or not for every reader (duplicate keys, NaN, lone surrogates,
    numbers or nesting beyond limits), and `ItemRejected` when the result is longer than `max_bytes`.
    """
    if not body.strip():
        raise AttemptFailed("the API's answer is empty")
    try:
        text = body.decode("utf-8-sig")
        value = json.loads(text, object_pairs_hook=_refuse_duplicates)
        # Proves that any reader can hold it: no NaN, no infinity, no lone surrogate.
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    except RecursionError:
        raise AttemptFailed("the API's answer is nested too deeply") from None
    except UnicodeError:
        raise AttemptFailed("the API's answer is not valid Unicode") from None
    except ValueError:
        raise AttemptFailed("the API's answer is not JSON, or has NaN, huge numbers or duplicate keys") from None
    text = _NOT_PRINTABLE_ASCII.sub(_escape, "".join(_STRINGS_AND_WHAT_IS_NOT_BLANK.findall(text)))
    if len(text) > max_bytes:
        raise too_large(max_bytes)
    return text


def too_large(max_bytes: int) -> ItemRejected:
    """Say that an answer exceeds the limit: final, as the next attempt would bring the same."""
    return ItemRejected(f"the API's answer is larger than {max_bytes} bytes")


def _escape(match: re.Match[str]) -> str:
    units = match[0].encode("utf-16-be").hex()
    return "".join(f"\\u{units[i : i + 4]}" for i in range(0, len(units), 4))


def _refuse_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    value = dict(pairs)
    if len(value) < len(pairs):
        raise ValueError("duplicate key")
    return value
