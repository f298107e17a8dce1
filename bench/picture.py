"""Draws charts with bars: in the terminal with block characters, and as an SVG file."""

import math
from collections.abc import Sequence
from xml.sax.saxutils import escape

from bench.report import Bar, Chart
from bench.stats import number

COLOURS = ("#2a6fb0", "#c8553d", "#7a9a3a", "#8a6bb1", "#777777")
TERMINAL_WIDTH = 40
LINE, LABEL, WIDTH, NUMBER = 16, 250, 420, 150


def share(bar: Bar, chart: Chart) -> float:
    """How long a bar is, from just above 0 to 1, on the logarithmic axis of its chart."""
    if bar.value <= 0:
        return 0.0
    logs = [math.log10(each.value) for each in chart.bars if each.value > 0]
    low, high = math.floor(min(logs)), max(logs)
    return max(0.005, (math.log10(bar.value) - low) / (high - low or 1))


def as_text(chart: Chart) -> str:
    """Draw the chart for a terminal."""
    names = [f"{bar.group} {bar.kind}" for bar in chart.bars]
    width = max(map(len, names))
    lines = [f"{chart.title} ({chart.unit}, logarithmic)"]
    for name, bar in zip(names, chart.bars, strict=True):
        blocks = "█" * max(1, round(share(bar, chart) * TERMINAL_WIDTH))
        lines.append(f"  {name.ljust(width)} {blocks} {number(bar.value)} {bar.note}".rstrip())
    return "\n".join(lines)


def as_svg(charts: Sequence[Chart]) -> str:
    """Draw all charts below each other. The picture has its own background, for light and dark pages."""
    parts: list[str] = []
    top = LINE
    for chart in charts:
        panel, height = _panel(chart, top)
        parts += panel
        top += height + LINE
    size = f'width="{LABEL + WIDTH + NUMBER}" height="{top}" viewBox="0 0 {LABEL + WIDTH + NUMBER} {top}"'
    style = 'font-family="sans-serif" font-size="11" fill="#222"'
    ground = '<rect width="100%" height="100%" fill="#fff"/>'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>\n{ground}\n' + "\n".join(parts) + "\n</svg>\n"


def _panel(chart: Chart, top: int) -> tuple[list[str], int]:
    kinds = list(dict.fromkeys(bar.kind for bar in chart.bars))
    title = escape(f"{chart.title} ({chart.unit}, logarithmic)")
    parts = [f'<text x="8" y="{top + 8}" font-weight="bold">{title}</text>']
    y = top + LINE
    group = ""
    for bar in chart.bars:
        if group and bar.group != group:
            y += 5
        group = bar.group
        colour = COLOURS[kinds.index(bar.kind) % len(COLOURS)]
        length = share(bar, chart) * WIDTH
        label, value = escape(f"{bar.group} {bar.kind}"), escape(f"{number(bar.value)} {bar.note}".strip())
        parts += [
            f'<text x="{LABEL - 6}" y="{y + 11}" text-anchor="end">{label}</text>',
            f'<rect x="{LABEL}" y="{y + 2}" width="{length:.1f}" height="{LINE - 4}" fill="{colour}"/>',
            f'<text x="{LABEL + length + 5:.1f}" y="{y + 11}">{value}</text>',
        ]
        y += LINE
    return parts, y - top
