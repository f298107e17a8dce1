"""Interprets an answer of the external API from its status code, its headers and its body.

Error messages repeat nothing that the API sent: no reason phrase, no body, no header.
"""

import json
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

from multidict import MultiMapping

from ingest_core.errors import AttemptFailed, ItemRejected, SourceError, SourceUnavailable

# These concern the account or the load, never a single ID. They throttle the gate, so that a wrong key fails no batch.
_THROTTLING = frozenset((401, 407, 429, 503))
# Another attempt may succeed, or an operator may fix the cause and retry the failed batch. 403 may concern one ID or
# the whole key: if it throttled the gate, one private ID would block the service; if it were final, a wrong key would
# reject every ID.
_FAILED_ATTEMPT = frozenset((403, 408, 409, 421, 423, 424, 425))

LONGEST_WAIT_SECONDS = 2.0**31  # RFC 9111 allows a recipient to replace larger numbers by this
# The comma after a weekday belongs to the date; any other comma separates two values.
_RETRY_AFTER_VALUE = re.compile(r" *(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*,[^,]*|[^,]+")
_STRINGS_AND_NON_BLANKS = re.compile(r'(?:"(?:[^"\\]++|\\.)*+"|[^" \t\r\n]++)++')
_NOT_PRINTABLE_ASCII = re.compile(r"[^\x00-\x7e]+")


def error_for_status(status: int, headers: MultiMapping[str], *, now: datetime) -> SourceError | None:
    """Return the error that a status code means. `None` for 2xx except 204 and 205, because then the item follows.

    A redirect fails the attempt. Like a 403, it may concern one ID or all of them.
    """
    text = f"the API answered {_name(status)}"
    if status in _THROTTLING:
        return SourceUnavailable(text, retry_after_seconds=retry_after(headers, now=now))
    if status in (HTTPStatus.NO_CONTENT, HTTPStatus.RESET_CONTENT):
        return ItemRejected(f"{text}: there is no item")
    if 200 <= status <= 299:
        return None
    if 300 <= status <= 399:
        return AttemptFailed(f"{text}: redirects are not followed")
    if 400 <= status <= 499 and status not in _FAILED_ATTEMPT:
        return ItemRejected(text)
    return AttemptFailed(text)


def _name(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def retry_after(headers: MultiMapping[str], *, now: datetime) -> float | None:
    """Return how many seconds `Retry-After` asks to wait, from 0 to 2**31, or `None` if it has no valid value.

    If there are several values (repeated headers, or values that a proxy has joined with commas), the longest wait
    counts. A date counts from the answer's own `Date`, so that the clocks of two machines are not compared. Without a
    `Date` it counts from `now`.
    """
    since = _http_date(headers.get("Date", "")) or now
    texts = [text for line in headers.getall("Retry-After", []) for text in _RETRY_AFTER_VALUE.findall(line)]
    waits = [wait for text in texts if (wait := _wait(text.strip(), since=since)) is not None]
    return min(max(waits), LONGEST_WAIT_SECONDS) if waits else None


def _wait(text: str, *, since: datetime) -> float | None:
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text):
        return float(text)
    until = _http_date(text)
    return None if until is None else max(0.0, (until - since).total_seconds())


def _http_date(text: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)


def compact_json(body: bytes, *, max_bytes: int) -> str:
    """Write a JSON text as one line of printable ASCII with the same meaning. Numbers keep every digit.

    Raises `AttemptFailed` if the text is not JSON or if readers could interpret it differently (duplicate keys, NaN,
    lone surrogates, numbers or nesting beyond limits), and `ItemRejected` if the result is longer than `max_bytes`.
    """
    if not body.strip():
        raise AttemptFailed("the API's answer is empty")
    try:
        text = body.decode("utf-8-sig")
        value = json.loads(text, object_pairs_hook=_object_without_duplicates)
        # Fails for values that some readers cannot represent: NaN, infinity, lone surrogates.
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    except RecursionError:
        raise AttemptFailed("the API's answer is nested too deeply") from None
    except UnicodeError:
        raise AttemptFailed("the API's answer is not valid Unicode") from None
    except ValueError:
        raise AttemptFailed("the API's answer is not JSON, or has NaN, huge numbers or duplicate keys") from None
    text = _NOT_PRINTABLE_ASCII.sub(_escape, "".join(_STRINGS_AND_NON_BLANKS.findall(text)))
    if len(text) > max_bytes:
        raise too_large(max_bytes)
    return text


def too_large(max_bytes: int) -> ItemRejected:
    """Return the error for an answer over the limit. It is final, because another attempt would bring the same."""
    return ItemRejected(f"the API's answer is larger than {max_bytes} bytes")


def _escape(match: re.Match[str]) -> str:
    units = match[0].encode("utf-16-be").hex()
    return "".join(f"\\u{units[i : i + 4]}" for i in range(0, len(units), 4))


def _object_without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    value = dict(pairs)
    if len(value) < len(pairs):
        raise ValueError("duplicate key")
    return value
