"""Writes the measurements as one table: in columns for the terminal, in Markdown for RESULTS.md."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

HEADER = ("what", "measured", "beside it", "goal", "")


@dataclass(frozen=True, kw_only=True)
class Row:
    """One figure. `reached` is None without a goal. `limit` says what limits the figure; a run does not measure that.

    `headline` marks the few figures that come first on the page.
    """

    what: str
    measured: str
    beside: str = ""
    goal: str = ""
    reached: bool | None = None
    limit: str = ""
    headline: bool = False

    @property
    def verdict(self) -> str:
        """Whether the goal was reached, in one word; empty without a goal."""
        return {True: "reached", False: "MISSED", None: ""}[self.reached]

    def cells(self) -> tuple[str, ...]:
        """The cells of the row, in the order of `HEADER`."""
        return (self.what, self.measured, self.beside, self.goal, self.verdict)


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One bar of the picture. `group` names what is measured, `kind` what was compared."""

    group: str
    kind: str
    value: float
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Chart:
    """Bars on one logarithmic axis. Each kind has its own colour."""

    title: str
    unit: str
    bars: Sequence[Bar]


@dataclass(frozen=True, kw_only=True)
class Section:
    """The results of one measurement, and its method."""

    title: str
    method: str
    rows: Sequence[Row]
    charts: Sequence[Chart] = field(default=())


def as_text(sections: Sequence[Section]) -> str:
    """Write all sections as one table in columns, with a line for each section's title."""
    lines = [row.cells() for section in sections for row in section.rows]
    widths = [max(len(cells[column]) for cells in [HEADER, *lines]) for column in range(len(HEADER))]

    def line(cells: Iterable[str]) -> str:
        return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()

    text = [line(HEADER), line("-" * width for width in widths)]
    for section in sections:
        text += [section.title.upper(), *(line(row.cells()) for row in section.rows)]
    return "\n".join(text)


def as_markdown(section: Section) -> str:
    """Write a section of RESULTS.md: the method, the table, and what limits the figures."""
    rows = [HEADER, tuple("---" for _ in HEADER), *(row.cells() for row in section.rows)]
    table = "\n".join(f"| {' | '.join(cells)} |" for cells in rows)
    reasons = "\n".join(f"- {_few(names)}: {limit}" for limit, names in _by_limit(section.rows).items())
    limits = (
        f"\nWhat limits it, by reading the code and by earlier profiles, not by this run:\n\n{reasons}\n"
        if reasons
        else ""
    )
    return f"## {section.title}\n\n{section.method}\n\n{table}\n{limits}"


def headlines(sections: Iterable[Section]) -> str:
    """Write the figures to read first, one line each."""
    rows = [row for section in sections for row in section.rows if row.headline]
    return "\n".join(f"- {row.what}: **{row.measured}**{row.beside and f' ({row.beside})'}" for row in rows)


def _by_limit(rows: Iterable[Row]) -> dict[str, list[str]]:
    """Group the names of the rows that have a limit by that limit."""
    names: dict[str, list[str]] = {}
    for row in rows:
        if row.limit:
            names.setdefault(row.limit, []).append(row.what)
    return names


def _few(names: Sequence[str]) -> str:
    return "; ".join(names) if len(names) < 3 else f"{names[0]} and {len(names) - 1} figures like it"


def verdicts(sections: Sequence[Section]) -> str:
    """Say how many goals were reached, and name those that were missed. Rows with the same limit share one name."""
    rows = [row for section in sections for row in section.rows if row.reached is not None]
    missed = [row for row in rows if not row.reached]
    names = [row.what for row in missed if not row.limit] + [_few(names) for names in _by_limit(missed).values()]
    text = f"{len(rows) - len(missed)} of {len(rows)} goals reached"
    if names:
        text += f". Missed: {'; '.join(names)}"
    return text
