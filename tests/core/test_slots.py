"""Tests of gate time: pure arithmetic."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from ingest_core.dispatch.slots import RATE, Reasons, View, due_after_take, due_after_throttle, is_throttled
from ingest_core.storage.gate_row import GateRow, StoredGate

ROW = GateRow(slot=7, token="t", age=100.0, due=106.0)
INTERVAL = 5.0


def view(row: GateRow = ROW, *, seen_at: float = 50.0) -> View:
    """The row as a process sees it that first saw it at this moment of its own clock."""
    stored = StoredGate(gate=row, etag="v1", written_at=datetime(2026, 1, 1, tzinfo=UTC))
    return View(stored=stored, seen_at=seen_at, is_owner=False)


@pytest.mark.parametrize(("now", "age"), [(50.0, 100.0), (60.0, 109.98), (40.0, 100.0)])
def test_the_age_grows_by_what_was_measured_since_the_version_was_seen_times_0_998(now: float, age: float) -> None:
    """A clock that shows less than the moment of seeing adds nothing."""
    assert view().age(now) == pytest.approx(age)


@pytest.mark.parametrize("rate", [0.999, 1.0, 1.001])
def test_the_age_is_never_more_than_the_true_time_whatever_clock_measured_it(rate: float) -> None:
    """Clocks may run 0.1 % fast or slow; over a day the age is behind, and by at most 0.3 %."""
    day = 86_400.0
    grown = view(seen_at=0.0).age(day * rate) - ROW.age
    assert 0.997 * day * 0.9999 <= grown < day


@pytest.mark.parametrize("rate", [0.999, 1.0, 1.001])
def test_the_others_wait_for_at_least_the_true_difference_between_age_and_due(rate: float) -> None:
    """Whoever takes at `due_for_all` has let six true seconds pass, however fast its clock runs."""
    true_seconds = (view().due_for_all() - 50.0) / rate
    assert 6.0 <= true_seconds <= 6.0 * 1.0041


def test_the_age_at_the_moment_of_due_is_due() -> None:
    """The two formulas are each other's inverse."""
    assert view().age(view().due_for_all()) == pytest.approx(ROW.due)
    assert RATE == 0.998


def test_a_take_keeps_the_others_out_for_the_start_budget_and_the_interval() -> None:
    """A start at the end of the budget still has the whole interval for itself."""
    assert due_after_take(100.0, interval=INTERVAL, sweeps=False) == 106.0


def test_a_take_that_sweeps_keeps_the_others_out_for_five_seconds_more() -> None:
    """Messages are removed within that time."""
    assert due_after_take(100.0, interval=INTERVAL, sweeps=True) == 111.0


@pytest.mark.parametrize(
    ("due", "wait", "expected"), [(106.0, 60.0, 160.0), (200.0, 60.0, 200.0), (100.0, 0.0, 106.0), (100.0, -9.0, 106.0)]
)
def test_a_throttle_closes_the_gate_for_its_wait_and_never_opens_it_earlier(
    due: float, wait: float, expected: float
) -> None:
    """It also leaves room for a start that may be under way."""
    assert due_after_throttle(replace(ROW, due=due), 100.0, interval=INTERVAL, wait=wait) == expected


@pytest.mark.parametrize(("sweeps", "later", "expected"), [(False, 0.0, False), (True, 0.0, False), (True, 0.1, True)])
def test_a_gate_counts_as_throttled_only_if_it_is_closed_longer_than_a_take_closes_it(
    *, sweeps: bool, later: float, expected: bool
) -> None:
    """A take that sweeps is the longest."""
    row = replace(ROW, due=due_after_take(ROW.age, interval=INTERVAL, sweeps=sweeps) + later)
    assert is_throttled(row, ROW.age, interval=INTERVAL) is expected


def test_what_people_read_changes_none_of_the_numbers() -> None:
    """Reasons are written beside the version."""
    reasons = Reasons(started_at="s", throttled_reason="t", down_since="d", trouble="x")
    written = reasons.on(ROW)
    assert (written.started_at, written.throttled_reason, written.down_since, written.trouble) == ("s", "t", "d", "x")
    assert replace(written, started_at="", throttled_reason="", down_since="", trouble="") == ROW
