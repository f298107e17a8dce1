"""Medians, ratios, extrapolation, and how numbers are written."""

import pytest

from bench.stats import extrapolated, number, ratios, spread


def test_a_spread_is_the_median_and_the_quartiles() -> None:
    """A single extreme value changes none of them."""
    result = spread([5, 1, 2, 4, 1000])
    assert (result.low, result.middle, result.high) == (2, 4, 5)


def test_a_spread_of_one_value_is_that_value() -> None:
    """A quick run may have only one value."""
    result = spread([7.0])
    assert (result.low, result.middle, result.high) == (7, 7, 7)


def test_the_spread_of_no_values_is_an_error() -> None:
    """A measurement without values must not look like a fast one."""
    with pytest.raises(ValueError, match="nothing was measured"):
        spread([])


def test_ratios_are_taken_round_by_round() -> None:
    """A round in which everything is ten times as slow has the same ratio."""
    assert ratios([2, 20, 2], [1, 10, 1]).middle == 2


def test_ratios_need_the_same_number_of_rounds() -> None:
    """A ratio of values from different rounds would have no meaning."""
    with pytest.raises(ValueError, match="zip"):
        ratios([1, 2], [1])


def test_extrapolation_continues_a_straight_line() -> None:
    """Ten times the size takes ten times the time, apart from the fixed cost of a request."""
    assert extrapolated((100, 15), (1000, 105), 10_000) == pytest.approx(1005)


@pytest.mark.parametrize(
    ("value", "text"), [(0.0123, "0.01"), (3, "3"), (3.14159, "3.14"), (31.4159, "31.4"), (31415.9, "31 416")]
)
def test_numbers_have_few_digits(value: float, text: str) -> None:
    """More digits would make noise look like precision."""
    assert number(value) == text
