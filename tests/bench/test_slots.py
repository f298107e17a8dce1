"""What the gaps between starts come to."""

from itertools import accumulate

import pytest

from bench.slots import Case, Starts, section


def verdicts_of(*gaps: float) -> list[str]:
    """Of the smallest gap and of the slots used, at an interval of a second."""
    moments = list(accumulate(gaps, initial=100.0))
    found = section("emulator", {Case(interval=1.0, api_intervals=3): Starts(recorded=moments, arrived=moments)})
    return [row.verdict for row in found.rows if row.goal]


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
    """Each by its own row."""
    assert verdicts_of(*gaps) == verdicts
