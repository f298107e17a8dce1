"""Medians with their spread: a shared machine is noisy, and a mean would carry its worst moments."""

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
        """Such as `8.1 (7.9-8.4) ms`."""
        return f"{number(self.middle)} ({number(self.low)}-{number(self.high)}){unit and ' '}{unit}"


def spread(values: Iterable[float]) -> Spread:
    """Median and quartiles; the quartiles are values of the sample. Raises `ValueError` for an empty one."""
    ordered = sorted(values)
    if not ordered:
        raise ValueError("nothing was measured")
    last = len(ordered) - 1
    return Spread(middle=median(ordered), low=ordered[last // 4], high=ordered[-(last // 4) - 1])


def ratios(above: Sequence[float], below: Sequence[float]) -> Spread:
    """How many times as much, round by round: what slows the machine in one round is in both of its numbers."""
    return spread(one / other for one, other in zip(above, below, strict=True))


def extrapolated(small: tuple[float, float], large: tuple[float, float], size: float) -> float:
    """The straight line through two points `(size, value)`, at another size."""
    slope = (large[1] - small[1]) / (large[0] - small[0])
    return large[1] + slope * (size - large[0])


def number(value: float) -> str:
    """Three digits that count, thousands apart."""
    if abs(value) >= 100:
        return f"{value:,.0f}".replace(",", " ")
    return f"{value:.{0 if value == int(value) else 1 if abs(value) >= 10 else 2}f}"
