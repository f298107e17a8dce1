"""The service takes the schedules that the host takes, no others."""

from itertools import product

import pytest

from emulator.ncrontab import parse
from ingest_core.settings import DEFAULT_SCHEDULE, schedule_of

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
        if expression != DEFAULT_SCHEDULE:
            taken = schedule_of({"INGEST_SCHEDULE": expression}) == expression
            assert (expression[:60], taken) == (expression[:60], host_takes(expression))
