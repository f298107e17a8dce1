"""The policy for timers, with given moments and no clock."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from emulator.ncrontab import parse
from emulator.timer_policy import Status, after_run, is_monitored, resume
from tests.emulator.emulated import RECORDED

TICKS: dict[str, list[tuple[float, float]]] = json.loads((RECORDED / "ticks.json").read_text())
SCHEDULES = {
    "slow": "*/2 * * * * *",
    "fast": "*/1 * * * * *",
    "failing": "*/3 * * * * *",
    "timespan": "00:00:04",
    "five_fields": "* * * * *",
}
# The question `exits` ended the worker at 41.6 s, and with it a run that could not be recorded.
CUT_OFF = {"slow": (7, (40.0, 1.6))}
MINUTE = datetime(2026, 11, 23, 20, 0, tzinfo=UTC)
HOST_STARTED = MINUTE + timedelta(seconds=22.344)
NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
HOURLY = parse("0 0 * * * *", {})


@pytest.mark.parametrize("name", SCHEDULES)
def test_the_recorded_ticks_follow_from_the_policy(name: str) -> None:
    """With the recorded durations, every run starts within 0.1 s of the recorded start."""
    schedule = parse(SCHEDULES[name], {})
    status, _ = resume(schedule, None, HOST_STARTED)
    now, wrapped, before = HOST_STARTED, 0, 22.0
    ticks = [*TICKS[name]]
    if name in CUT_OFF:
        ticks.insert(*CUT_OFF[name])
    for second, took in ticks:
        wrapped, before = wrapped + (60 if second < before else 0), second
        began = max(status.due, now)
        assert abs((began - MINUTE).total_seconds() - wrapped - second) < 0.1
        now = began + timedelta(seconds=took)
        status = after_run(schedule, status, began)


def test_a_run_that_begins_slightly_early_is_not_repeated() -> None:
    """It counts as begun at its due time."""
    status = Status(last=NOON, due=NOON + timedelta(hours=1), updated=NOON)
    early = status.due - timedelta(milliseconds=5)
    assert after_run(HOURLY, status, early).due == NOON + timedelta(hours=2)


def test_an_occurrence_at_which_no_host_ran_is_past_due() -> None:
    """The next host runs it at its start."""
    stored = after_run(HOURLY, Status(last=NOON, due=NOON, updated=NOON), NOON)
    assert resume(HOURLY, stored, NOON + timedelta(hours=3)) == (stored, True)


def test_nothing_is_past_due_before_it_was_due() -> None:
    """A restart before the due time runs nothing."""
    stored = after_run(HOURLY, Status(last=NOON, due=NOON, updated=NOON), NOON)
    assert resume(HOURLY, stored, NOON + timedelta(minutes=59)) == (stored, False)


def test_a_changed_schedule_is_not_past_due() -> None:
    """Earlier occurrences of the new schedule do not count as missed."""
    stored = after_run(parse("0 30 * * * *", {}), Status(last=NOON, due=NOON, updated=NOON), NOON)
    now = NOON + timedelta(hours=5, minutes=10)
    status, past_due = resume(HOURLY, stored, now)
    assert (status.due, past_due) == (NOON + timedelta(hours=6), False)


@pytest.mark.parametrize(
    ("expression", "monitored"),
    [
        ("0 0 * * * *", True),
        ("* * * * *", True),
        ("0 */1 * * * *", True),
        ("*/30 * * * * *", False),
        ("* * * * * *", False),
        ("0 0 0 30 2 *", True),
        ("00:01:00", True),
        ("00:00:59", False),
    ],
)
def test_only_schedules_of_a_minute_or_more_are_monitored(expression: str, *, monitored: bool) -> None:
    """The host does not monitor a schedule with more than one occurrence within a minute."""
    assert is_monitored(parse(expression, {}), NOON + timedelta(seconds=3)) == monitored
