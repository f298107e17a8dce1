"""Gaps between starts, counted in ranges of the interval: as text, and as a picture that needs no library."""

from collections.abc import Mapping, Sequence
from html import escape
from itertools import pairwise

EDGES = (0.0, 0.9, 0.98, 0.99, 1.0, 1.002, 1.005, 1.01, 1.02, 1.05, 1.1, 1.5, 2.0, 4.0, 8.0, float("inf"))
"""In intervals: fine around 1, where a gap should be, and coarse where a lease had to run out."""

RANGES = tuple(pairwise(EDGES))
COLOURS = ("#2b6cb0", "#dd8a2e", "#5a9e5a")
TOO_SHORT = "#c53030"


def count(gaps: Sequence[float], interval: float) -> list[int]:
    """How many gaps fall into each range; a lower edge belongs to its range."""
    return [sum(low <= gap / interval < high for gap in gaps) for low, high in RANGES]


def label(low: float, high: float) -> str:
    """How a range is written."""
    return f"{low:g}+" if high == float("inf") else f"{low:g}-{high:g}"


def text(series: Mapping[str, Sequence[float]], interval: float) -> str:
    """A table: a line for each range, a column with a bar for each series."""
    counts = {name: count(gaps, interval) for name, gaps in series.items()}
    lines = [f"gaps between two starts, in intervals of {interval:g} s", ""]
    for name, found in counts.items():
        lines.append(f"{name} ({sum(found)})")
        most = max(*found, 1)
        for (low, high), number in zip(RANGES, found, strict=True):
            bar = "#" * -(-40 * number // most)
            lines.append(f"{label(low, high):>12} {number:6} {bar}".rstrip())
        lines.append("")
    return "\n".join(lines)


def svg(series: Mapping[str, Sequence[float]], interval: float, title: str) -> str:
    """Bars side by side for each range, with their numbers; left of the line at 1 nothing should be."""
    step, height, left, top = 64.0, 260.0, 20.0, 70.0
    width = left * 2 + step * len(RANGES)
    counts = {name: count(gaps, interval) for name, gaps in series.items()}
    most = max([1, *(max(found) for found in counts.values())])
    box = f"0 0 {width} {top + height + 60}"
    shapes = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}" font-family="sans-serif" font-size="11">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="{left}" y="24" font-size="16">{escape(title)}</text>',
    ]
    bar = (step - 12) / len(series)
    for row, (name, found) in enumerate(counts.items()):
        x = left + 250.0 * row
        shapes.append(f'<rect x="{x}" y="38" width="10" height="10" fill="{COLOURS[row]}"/>')
        shapes.append(f'<text x="{x + 14}" y="47">{escape(name)} ({sum(found)})</text>')
        for place, ((_, high), number) in enumerate(zip(RANGES, found, strict=True)):
            if number:
                x, size = left + step * place + 6 + bar * row, height * number / most
                fill = TOO_SHORT if high <= 0.99 else COLOURS[row]
                y = top + height - size
                shapes.append(
                    f'<rect x="{x:.1f}" y="{y:.1f}" width="{bar - 1:.1f}" height="{size:.1f}" fill="{fill}"/>'
                )
                shapes.append(f'<text x="{x + bar / 2:.1f}" y="{y - 3:.1f}" text-anchor="middle">{number}</text>')
    limit = left + step * EDGES.index(1.0)
    shapes.append(f'<path d="M{limit} {top - 14}V{top + height}" stroke="{TOO_SHORT}" stroke-dasharray="4 3"/>')
    shapes.append(f'<path d="M{left} {top + height}H{width - left}" stroke="#444"/>')
    for place, (low, high) in enumerate(RANGES):
        x = left + step * (place + 0.5)
        shapes.append(f'<text x="{x}" y="{top + height + 16}" text-anchor="middle">{label(low, high)}</text>')
    shapes.append(
        f'<text x="{width / 2}" y="{top + height + 40}" text-anchor="middle">'
        f"gap in intervals of {interval:g} s; the line is the limit</text></svg>"
    )
    return "\n".join(shapes) + "\n"
