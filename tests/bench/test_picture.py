"""The bars of the picture, as text and as SVG."""

from xml.etree import ElementTree as ET

import pytest

from bench.picture import as_svg, as_text, share
from bench.report import Bar, Chart

CHART = Chart(
    title="Accept <3",
    unit="ms",
    bars=[Bar(group="3 IDs", kind="ours", value=10), Bar(group="3 IDs", kind="plain", value=1000, note="(guessed)")],
)


def test_the_longest_bar_fills_the_axis() -> None:
    """The others are shorter, on a logarithmic axis that begins at a power of ten."""
    chart = Chart(title="", unit="", bars=[Bar(group="", kind="", value=value) for value in (5, 50, 500)])
    assert [share(bar, chart) for bar in chart.bars] == pytest.approx([0.259, 0.630, 1.0], abs=0.001)


def test_zero_has_no_bar() -> None:
    """Zero has no logarithm."""
    chart = Chart(title="", unit="", bars=[Bar(group="", kind="", value=value) for value in (0, 1)])
    assert share(chart.bars[0], chart) == 0


def test_bars_of_a_terminal_have_name_value_and_note() -> None:
    """Each bar is a line under the title."""
    title, first, second = as_text(CHART).splitlines()
    assert title == "Accept <3 (ms, logarithmic)"
    assert first.endswith(" 10")
    assert second.endswith(" 1 000 (guessed)")
    assert second.count("█") > first.count("█")


def test_the_svg_is_valid_and_its_texts_are_escaped() -> None:
    """An XML parser accepts it, even with a `<` in a title."""
    root = ET.fromstring(as_svg([CHART, CHART]))  # noqa: S314 # written two lines above
    assert len(root.findall("{http://www.w3.org/2000/svg}rect")) == 1 + 4
    assert any(text.text == "Accept <3 (ms, logarithmic)" for text in root.iter("{http://www.w3.org/2000/svg}text"))
