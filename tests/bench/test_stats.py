"""Numbers: medians, ratios, a straight line, and how they are written."""

import pytest

from bench.stats import extrapolated, number, ratios, spread


def test_a_spread_is_the_median_and_the_quartiles() -> None:
    """One wild value moves none of them."""
    found = spread([5, 1, 2, 4, 1000])
    assert (found.low, found.middle, found.high) == (2, 4, 5)


def test_a_spread_of_one_value_is_that_value() -> None:
    """A quick run may have no more."""
    found = spread([7.0])
    assert (found.low, found.middle, found.high) == (7, 7, 7)


def test_nothing_has_no_spread() -> None:
    """A measurement that measured nothing must not pass for a fast one."""
    with pytest.raises(ValueError, match="nothing was measured"):
        spread([])


def test_ratios_are_taken_round_by_round() -> None:
    """A round in which everything was ten times as slow changes no ratio."""
    assert ratios([2, 20, 2], [1, 10, 1]).middle == 2


def test_rounds_that_do_not_match_are_refused() -> None:
    """A ratio of different rounds would say nothing."""
    with pytest.raises(ValueError, match="zip"):
        ratios([1, 2], [1])


def test_a_line_goes_on_as_it_began() -> None:
    """Ten times the batches take ten times the time, but for what each request costs anyway."""
    assert extrapolated((100, 15), (1000, 105), 10_000) == pytest.approx(1005)


@pytest.mark.parametrize(
    ("value", "text"), [(0.0123, "0.01"), (3, "3"), (3.14159, "3.14"), (31.4159, "31.4"), (31415.9, "31 416")]
)
def test_numbers_show_the_digits_that_count(value: float, text: str) -> None:
    """No more, or noise would look like precision."""
    assert number(value) == text
