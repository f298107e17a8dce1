import json
import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from ingest_core.errors import AttemptFailed, ItemRejected, SourceError, SourceUnavailable
from ingest_core.source.answer import compact_json, error_for_status, retry_after

NOW = datetime(2024, 5, 1, 12, 0, 0, tzinfo=UTC)
LIMIT = 1 << 20

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@pytest.mark.parametrize(
    ("statuses", "kind"),
    [
        ((200, 201, 202, 203, 206, 299), None),
        ((204, 205), ItemRejected),
        ((400, 402, 404, 405, 406, 410, 413, 414, 418, 422, 451, 499), ItemRejected),
        ((403, 408, 409, 421, 423, 424, 425), AttemptFailed),
        ((300, 301, 302, 303, 304, 307, 308, 399), AttemptFailed),
        ((500, 501, 502, 504, 507, 599), AttemptFailed),
        ((100, 101, 199, 600, 999), AttemptFailed),
        ((401, 407, 429, 503), SourceUnavailable),
    ],
)
def test_each_status_has_one_meaning(statuses: tuple[int, ...], kind: type[SourceError] | None) -> None:
    """An item, final for the ID, an attempt, or hold everything."""
    for status in statuses:
        found = error_for_status(status, CIMultiDict(), now=NOW)
        if kind is None:
            assert found is None
        else:
            assert type(found) is kind
            assert str(status) in str(found)


def test_only_an_answer_that_holds_the_gate_carries_a_wait() -> None:
    """429 and 503 tell how long."""
    for status in (429, 503):
        found = error_for_status(status, CIMultiDict({"Retry-After": "30"}), now=NOW)
        assert isinstance(found, SourceUnavailable)
        assert found.retry_after_seconds == 30.0


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "0"}, 0.0),
        ({"Retry-After": " 120 "}, 120.0),
        ({"Retry-After": "1.5"}, 1.5),
        ({"Retry-After": "9" * 5000}, 2.0**31),
        ({"Retry-After": "-5"}, None),
        ({"Retry-After": "+5"}, None),
        ({"Retry-After": "1e3"}, None),
        ({"Retry-After": "nan"}, None),
        ({"Retry-After": "inf"}, None),
        ({"Retry-After": "٣"}, None),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": ""}, None),
        ({"Retry-After": "Wed, 01 May 2024 12:00:30 GMT"}, 30.0),
        ({"Retry-After": "Wed, 01 May 2024 11:00:00 GMT"}, 0.0),
        ({"Retry-After": "Wed, 01 May 2024 12:00:30 -0000"}, 30.0),
        ({"Retry-After": "Fri, 31 Dec 9999 23:59:59 GMT"}, 2.0**31),
        ({"Retry-After": "Wed, 99 May 2024 12:00:30 GMT"}, None),
        ({"Retry-After": "Sunday, 06-Nov-94 08:49:37 GMT"}, 0.0),
    ],
)
def test_retry_after_is_seconds_or_a_date(headers: dict[str, str], seconds: float | None) -> None:
    """RFC 9110 §10.2.3; what cannot be read counts as absent."""
    assert retry_after(CIMultiDict(headers), now=NOW) == seconds


def test_a_date_is_counted_on_the_clock_of_the_api() -> None:
    """A service whose clock is an hour wrong waits as long as it was asked to."""
    headers = {"Date": "Wed, 01 May 2024 13:00:00 GMT", "Retry-After": "Wed, 01 May 2024 13:00:07 GMT"}
    assert retry_after(CIMultiDict(headers), now=NOW) == 7.0
    assert retry_after(CIMultiDict(headers | {"Date": "garbage"}), now=NOW) == 3607.0


@pytest.mark.parametrize(
    ("lines", "seconds"),
    [
        (["5", "120"], 120.0),
        (["120", "5"], 120.0),
        (["5", "Wed, 01 May 2024 12:00:30 GMT"], 30.0),
        (["soon", "5"], 5.0),
        (["", "5"], 5.0),
        (["5, 120"], 120.0),
        (["Wed, 01 May 2024 12:00:30 GMT, 5"], 30.0),
        (["5,Wednesday, 01-May-24 12:00:30 GMT"], 30.0),
        (["soon, 5"], 5.0),
        ([",,5,,"], 5.0),
        ([",", "later"], None),
    ],
)
def test_of_several_waits_the_longest_counts(lines: list[str], seconds: float | None) -> None:
    """Whether the header came twice, or something on the way has joined the values."""
    headers = CIMultiDict([("retry-after", line) for line in lines])
    assert retry_after(headers, now=NOW) == seconds


@given(st.text() | st.datetimes().map(str) | st.from_regex(r"[a-zA-Z]{3}, \d+ [A-Z][a-z]{2} \d+ [\d:]+ \S*"), st.text())
def test_any_retry_after_gives_a_sane_number_or_none(value: str, date: str) -> None:
    """Whatever the header holds."""
    seconds = retry_after(CIMultiDict({"Retry-After": value, "Date": date}), now=NOW)
    assert seconds is None or 0.0 <= seconds <= timedelta.max.total_seconds()


@given(json_values, st.sampled_from([None, 2]), st.booleans())
def test_json_keeps_its_meaning_on_one_printable_line(value: object, indent: int | None, ascii_only: bool) -> None:
    """However it was written."""
    body = json.dumps(value, indent=indent, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    text = compact_json(body, max_bytes=LIMIT)
    assert json.loads(text) == value
    assert re.fullmatch(r"[\x20-\x7e]*", text)
    assert compact_json(text.encode(), max_bytes=LIMIT) == text


def test_blanks_go_and_everything_else_stays() -> None:
    """Digits, order and escapes are the API's; blanks inside strings too."""
    body = b' { "b" : [ 3.14159265358979323846 , 1e5 , -0.0 ] ,\r\n\t"a" : " x \\" \\\\ \\/\\u00e9 " }\n'
    assert compact_json(body, max_bytes=LIMIT) == r'{"b":[3.14159265358979323846,1e5,-0.0],"a":" x \" \\ \/\u00e9 "}'


def test_what_is_not_ascii_is_escaped() -> None:
    """Also beyond the basic plane, line separators and DEL; a byte order mark goes."""
    body = '\ufeff"é😀\u2028\x7f"'.encode()
    assert compact_json(body, max_bytes=LIMIT) == r'"\u00e9\ud83d\ude00\u2028\u007f"'


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" \r\n",
        b"<html>",
        b"{",
        b"{} {}",
        b"{'a': 1}",
        b"NaN",
        b"[Infinity]",
        b"-Infinity",
        b"1e999",
        b'{"a": 1, "a": 1}',
        b'{"a": {"b": 1, "\\u0062": 2}}',
        b'"\\ud800"',
        b'{"\\udc00": 1}',
        b'"\xff"',
        b'"\xed\xa0\x80"',
        b'"\n"',
        b"9" * 5000,
        b"-" + b"9" * 5000,
        b"[" * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        '{"a": 1}'.encode("utf-16"),
        '{"a": 1}'.encode("utf-32-le"),
        b"\x1f\x8b\x08\x00",
    ],
    ids=lambda body: repr(body[:20]),
)
def test_what_readers_would_not_agree_on_costs_an_attempt(body: bytes) -> None:
    """The message is one short line that repeats nothing."""
    with pytest.raises(AttemptFailed) as found:
        compact_json(body, max_bytes=LIMIT)
    assert str(found.value).isprintable()
    assert len(str(found.value)) < 100


def test_an_item_that_outgrows_the_limit_is_refused_for_good() -> None:
    """Escapes make it longer than what was read; one byte less fits."""
    body = '"éé"'.encode()
    assert compact_json(body, max_bytes=14) == r'"\u00e9\u00e9"'
    with pytest.raises(ItemRejected, match="larger than 13 bytes"):
        compact_json(body, max_bytes=13)


@given(st.binary() | st.text().map(str.encode) | st.text('{}[]":,0123456789.eE-+ \\untf\n').map(str.encode))
def test_any_bytes_give_json_or_one_of_the_errors(body: bytes) -> None:
    """No other exception."""
    try:
        text = compact_json(body, max_bytes=LIMIT)
    except (AttemptFailed, ItemRejected):
        return
    assert json.loads(text) == json.loads(body.decode("utf-8-sig"))
