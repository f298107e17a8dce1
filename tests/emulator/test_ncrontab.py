"""Schedules are read as the host reads them."""

from datetime import UTC, datetime, timedelta

import pytest

from emulator.ncrontab import NEVER, parse

MONDAY = datetime(2026, 11, 23, 21, 45, 3, 500000, tzinfo=UTC)


@pytest.mark.parametrize(
    ("expression", "due"),
    [
        ("* * * * * *", "2026-11-23 21:45:04"),
        ("*/5 * * * * *", "2026-11-23 21:45:05"),
        ("3 * * * * *", "2026-11-23 21:46:03"),
        ("4 45 21 * * *", "2026-11-23 21:45:04"),
        ("* * * * *", "2026-11-23 21:46:00"),
        ("50 21 * * *", "2026-11-23 21:50:00"),
        ("0 0,15,30 * * * *", "2026-11-23 22:00:00"),
        ("0 10-20 * * * *", "2026-11-23 22:10:00"),
        ("0 20-10 * * * *", "2026-11-23 22:10:00"),
        ("0 46-58/5 * * * *", "2026-11-23 21:46:00"),
        ("0 44/5 * * * *", "2026-11-23 21:49:00"),
        ("0 44/1 * * * *", "2026-11-23 22:44:00"),
        ("0 */0 * * * *", "2026-11-23 21:46:00"),
        ("0 0 */7 * * *", "2026-11-24 00:00:00"),
        ("0 0 0 */10 * *", "2026-12-01 00:00:00"),
        ("0 0 0 * * 0", "2026-11-29 00:00:00"),
        ("0 0 0 * * MON", "2026-11-30 00:00:00"),
        ("0 0 0 * * thurs", "2026-11-26 00:00:00"),
        ("0 0 0 * * fri-mon", "2026-11-24 00:00:00"),
        ("0 0 0 1 jan *", "2027-01-01 00:00:00"),
        ("0 0 0 1 Ju *", "2027-06-01 00:00:00"),
        ("0 0 0 1 feb,apr *", "2027-02-01 00:00:00"),
        ("0 0 0 13 * FRI", "2027-08-13 00:00:00"),
        ("0 0 0 31 * *", "2026-12-31 00:00:00"),
        ("0 0 0 29 2 *", "2028-02-29 00:00:00"),
        ("59 59 23 31 12 *", "2026-12-31 23:59:59"),
        ("  0   0  12 * * *  ", "2026-11-24 12:00:00"),
    ],
)
def test_an_expression_says_when_it_is_due_next(expression: str, due: str) -> None:
    """The due time is strictly later than the given moment."""
    assert parse(expression, {}).next(MONDAY) == datetime.fromisoformat(due).replace(tzinfo=UTC)


@pytest.mark.parametrize("second", range(60))
def test_a_due_time_is_strictly_later(second: int) -> None:
    """At a due second, the next due time of a schedule of every second is one second later."""
    moment = MONDAY.replace(second=second, microsecond=0)
    assert parse("* * * * * *", {}).next(moment) == moment + timedelta(seconds=1)


def test_a_day_that_does_not_exist_is_never_due() -> None:
    """The thirtieth of February is never due, and is not an error."""
    assert parse("0 0 0 30 2 *", {}).next(MONDAY) == NEVER


@pytest.mark.parametrize(
    ("expression", "period"),
    [
        ("00:00:04", timedelta(seconds=4)),
        ("01:30", timedelta(hours=1, minutes=30)),
        ("00:00:00.5", timedelta(milliseconds=500)),
        ("1.02:00:00", timedelta(days=1, hours=2)),
        ("25:00:00", timedelta(days=25)),
        ("6", timedelta(days=6)),
    ],
)
def test_a_time_span_counts_from_the_last_run(expression: str, period: timedelta) -> None:
    """It is not rounded to a full second of the clock."""
    assert parse(expression, {}).next(MONDAY) == MONDAY + period


@pytest.mark.parametrize(
    "expression",
    [
        *("", "x", "* * * *", "* * * * * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * 32 * *", "* * * 0 *"),
        *("* * * 13 *", "* * * * 7", "a * * * *", "5x * * * *", "1,,2 * * * *", ",1 * * * *", "1, * * * *"),
        *("-5 * * * *", "5- * * * *", "*/x * * * *", "1/ * * * *", "/5 * * * *", "? * * * *", "* * L * *"),
        *("* * * foo *", "24:00", "1.24:00:00", "00:60:00", "00:00:60", "1:2:3:4"),
    ],
)
def test_a_wrong_expression_is_an_error(expression: str) -> None:
    """A function with such a schedule is in error, as on the host."""
    with pytest.raises(ValueError, match="is n"):
        parse(expression, {})


def test_a_name_in_percent_signs_is_an_app_setting() -> None:
    """The setting may be the whole schedule or a part of it. The case of its name is ignored."""
    assert parse("%All%", {"all": "* * * * *"}) == parse("* * * * *", {})
    assert parse("%ALL%", {"all": "0 0 9 * * *"}) == parse("0 0 %HOUR% * * *", {"hour": "9"})


@pytest.mark.parametrize("settings", [{}, {"all": ""}])
def test_a_setting_that_is_not_set_is_an_error(settings: dict[str, str]) -> None:
    """The message contains the name of the setting."""
    with pytest.raises(ValueError, match="ALL is not set"):
        parse("%ALL%", settings)
