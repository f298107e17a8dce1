"""Medians and their spread. On a shared machine, a mean would depend on a few bad moments."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, kw_only=True)
class Spread:
    """The middle of a sample and its quartiles."""

    middle: float
    low: float
    high: float

    def text(self, unit: str = "") -> str:
        """A text such as `8.1 (7.9-8.4) ms`."""
        return f"{number(self.middle)} ({number(self.low)}-{number(self.high)}){unit and ' '}{unit}"


def spread(values: Iterable[float]) -> Spread:
    """Median and quartiles; the quartiles are values of the sample. Raises `ValueError` for an empty one."""
    ordered = sorted(values)
    if not ordered:
        raise ValueError("nothing was measured")
    last = len(ordered) - 1
    return Spread(middle=median(ordered), low=ordered[last // 4], high=ordered[-(last // 4) - 1])


def ratios(above: Sequence[float], below: Sequence[float]) -> Spread:
    """The ratios round by round. If the machine is slow in a round, both of its numbers grow, but not their ratio."""
    return spread(numerator / denominator for numerator, denominator in zip(above, below, strict=True))


def extrapolated(small: tuple[float, float], large: tuple[float, float], size: float) -> float:
    """The value at `size` on the straight line through two points `(size, value)`."""
    slope = (large[1] - small[1]) / (large[0] - small[0])
    return large[1] + slope * (size - large[0])


def number(value: float) -> str:
    """Write a number with about three significant digits and with blanks between thousands."""
    if abs(value) >= 100:
        return f"{value:,.0f}".replace(",", " ")
    if value == int(value):
        return f"{value:.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
