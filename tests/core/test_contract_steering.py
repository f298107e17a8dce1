"""Tests of the small bodies: a priority, a reason, a pause."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest_core.api.problems import Problem
from ingest_core.api.steering import parse_nothing, parse_pause, parse_priority, parse_reason

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def pointers(caught: pytest.ExceptionInfo[Problem]) -> list[str]:
    """Where the errors are."""
    assert caught.value.status == 422
    return [error["pointer"] for error in caught.value.errors]


def test_a_priority_is_one_of_three() -> None:
    """In upper case, as everywhere."""
    assert parse_priority(b'{"priority": "LOW"}') == "LOW"


@pytest.mark.parametrize(
    "body", ["{}", *(f'{{"priority": {text}}}' for text in ('"low"', "null", "1", "true", "[]", "{}", '"\\ud800"'))]
)
def test_another_priority_is_refused(body: str) -> None:
    """It is required."""
    with pytest.raises(Problem) as caught:
        parse_priority(body.encode())
    assert pointers(caught) == ["/priority"]


@pytest.mark.parametrize("reason", ["", "a", "x" * 200, "Größe \U0001f600"])
def test_a_reason_is_kept_as_it_is(reason: str) -> None:
    """At most 200 characters."""
    assert parse_reason(json.dumps({"reason": reason}).encode()) == reason
    assert parse_pause(json.dumps({"reason": reason}).encode(), now=NOW).reason == reason


@pytest.mark.parametrize("body", [b"", b" \r\n", b"{}", b'{"reason": null}'])
def test_a_reason_and_its_body_may_be_left_out(body: bytes) -> None:
    """So may that of a pause, which then has no end."""
    assert parse_reason(body) == ""
    found = parse_pause(body, now=NOW)
    assert (found.reason, found.until) == ("", None)


@pytest.mark.parametrize("text", ['"' + "x" * 201 + '"', "1", '"a\\nb"', '"\\ud800"', "[]", "false"])
def test_another_reason_is_refused(text: str) -> None:
    """For people, in one line."""
    for parse in (parse_reason, lambda body: parse_pause(body, now=NOW)):
        with pytest.raises(Problem) as caught:
            parse(f'{{"reason": {text}}}'.encode())
        assert pointers(caught) == ["/reason"]


@pytest.mark.parametrize(
    "text",
    ["2026-01-01T12:00:01Z", "2026-01-01t12:00:01z", "2026-01-01 13:00:01+01:00", "2026-01-01T00:00:01.000-12:00"],
)
def test_a_pause_ends_at_a_time_with_an_offset(text: str) -> None:
    """As RFC 3339 writes it."""
    assert parse_pause(json.dumps({"until": text}).encode(), now=NOW).until == NOW + timedelta(seconds=1)


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-01T12:00:00Z", "2025-12-31T00:00:00Z", "2027-01-01T12:00:00", "2027-01-01", "2027-13-01T00:00:00Z",
        "2027-01-01T12:00:60Z", "2027-01-01T25:00:00Z", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59",
        "tomorrow", "", "20270101T000000Z", "2027-01-01T12:00Z", "٢027-01-01T12:00:00Z", 1, True, [], {},
    ],
)  # fmt: skip
def test_another_end_is_refused(text: object) -> None:
    """It must be in the future."""
    with pytest.raises(Problem) as caught:
        parse_pause(json.dumps({"until": text}).encode(), now=NOW)
    assert pointers(caught) == ["/until"]


def test_every_fault_of_a_body_is_named() -> None:
    """Unknown fields included."""
    with pytest.raises(Problem) as caught:
        parse_pause(b'{"reason": 1, "until": 2, "x": 3, "reason": 4}', now=NOW)
    assert pointers(caught) == ["/reason", "/x", "/reason", "/until"]


def test_a_body_without_fields_takes_none() -> None:
    """A retry has nothing to say."""
    parse_nothing(b"")
    parse_nothing(b"{}")
    with pytest.raises(Problem) as caught:
        parse_nothing(b'{"ids": [1]}')
    assert pointers(caught) == ["/ids"]


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_no_body_crashes_a_parser(body: bytes) -> None:
    """Any bytes are either what is meant or a problem of the caller's."""
    for parse in (parse_priority, parse_reason, parse_nothing, lambda text: parse_pause(text, now=NOW)):
        try:
            parse(body)
        except Problem as found:
            assert 400 <= found.status < 500
