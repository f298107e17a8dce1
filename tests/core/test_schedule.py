"""The service takes the schedules that the host takes, no others."""

from datetime import UTC, datetime, timedelta
from itertools import product

import pytest

from emulator.ncrontab import parse
from ingest_core.schedule import is_schedule, longest_gap_seconds

ENDS = ("", "*", "0", "1", "6", "7", "12", "13", "23", "24", "31", "32", "59", "60", "007", "-1", "+1", "1_0", "٣", "²")
ENDS += ("j", "ju", "JUN", "january", "janx", "s", "su", "Monday", "mondays", "m", "x", "L", "?", "1#2", "9" * 5000)
STEPS = ("", "/", "/0", "/2", "/100", "/+5", "/-1", "/x", "/1/2", "/٣")
SPANS = ("{0}", "{0}-{0}", "1-{0}", "{0}-1", "*-{0}", "{0}-", "-{0}", "1-2-{0}", "1,{0}", "{0},", "{0},*", "1\t{0}")


def host_takes(expression: str) -> bool:
    """Whether the host would run a timer with it."""
    try:
        parse(expression, {})
    except ValueError:
        return False
    return True


@pytest.mark.parametrize(("count", "place"), [(count, place) for count in (5, 6) for place in range(count)])
def test_each_field_is_judged_as_the_host_judges_it(count: int, place: int) -> None:
    """Numbers, names, ranges, lists and steps, right and wrong ones, in every place."""
    for end, step, span in product(ENDS, STEPS, SPANS):
        fields = ["*"] * count
        fields[place] = span.format(end) + step
        expression = " ".join(fields).strip()
        assert (expression[:60], is_schedule(expression)) == (expression[:60], host_takes(expression))


def gap_of_the_host(expression: str) -> int:
    """The longest time between two occurrences of a day, as the emulated host computes them."""
    schedule = parse(expression, {})
    start = datetime(2026, 1, 5, tzinfo=UTC)
    moment = schedule.next(start - timedelta(seconds=1))
    longest = timedelta(0)
    while moment < start + timedelta(days=1):
        following = schedule.next(moment)
        longest = max(longest, following - moment)
        moment = following
    return int(longest.total_seconds())


@pytest.mark.parametrize(
    ("expression", "seconds"),
    [
        ("* * * * * *", 1), ("*/5 * * * * *", 5), ("*/7 * * * * *", 7), ("5/20 * * * * *", 20), ("0,1,2 * * * * *", 58),
        ("50-10 * * * * *", 20), ("7 * * * * *", 60), ("* * * * *", 60), ("*/10 * * * *", 600), ("0 9-17 * * *", 57600),
        ("*/5 * 8-18 * * *", 46805), ("0 0 12 * * *", 86400), ("*/0 * * * * *", 1),
        ("*/5 * * 1-31 jan-dec 0-6", 5), ("*/5 * * * *", 300), ("*/20 * * * *", 1200),
        ("59 59 23 * * *", 86400), ("5/1 * * * * *", 60),
    ],
)  # fmt: skip
def test_the_longest_gap_is_the_hosts(expression: str, seconds: int) -> None:
    """Over the end of a day too."""
    assert longest_gap_seconds(expression) == seconds == gap_of_the_host(expression)


@pytest.mark.parametrize(
    "expression",
    ["* * * * * MON-FRI", "* * * 1 * *", "* * * * 2 *", "* * * 30 2 *", "* * * * * 1-6", "* * * * * sun-s"],
)
def test_a_schedule_that_leaves_days_out_has_a_gap_of_a_day_at_least(expression: str) -> None:
    """How many days in a row does not matter."""
    assert longest_gap_seconds(expression) == 86_400
