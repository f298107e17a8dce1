"""The verdicts about the gaps between starts."""

from itertools import accumulate

import pytest

from bench.slots import Case, Starts, section


def verdicts_of(*gaps: float) -> list[str]:
    """The verdicts about the smallest gap and about the slots used, with an interval of a second."""
    moments = list(accumulate(gaps, initial=100.0))
    result = section("emulator", {Case(interval=1.0, api_intervals=3): Starts(recorded=moments, arrived=moments)})
    return [row.verdict for row in result.rows if row.goal]


@pytest.mark.parametrize(
    ("gaps", "verdicts"),
    [
        ((1.001, 1.002, 1.001), ["reached", "reached"]),
        ((1.001, 0.998, 1.001), ["MISSED", "reached"]),
        ((1.001, 2.002, 1.001), ["reached", "MISSED"]),
    ],
    ids=["every slot", "too early", "a slot lost"],
)
def test_a_gap_below_the_interval_and_a_lost_slot_are_seen(gaps: tuple[float, ...], verdicts: list[str]) -> None:
    """Each has its own row."""
    assert verdicts_of(*gaps) == verdicts
