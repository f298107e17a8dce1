"""What was measured, as one table: for the terminal in columns, for RESULTS.md in Markdown."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

HEADER = ("what", "measured", "beside it", "goal", "")
PROFILED = "2026-11-23"
"""When the profiles were made that the rows' `limit` tells of; a run measures the figures only."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One figure. `reached` is None without a goal; `limit` says what limits the figure, as profiles have shown.

    `headline` is for the few figures that somebody in a hurry reads.
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
        """One word."""
        return {True: "reached", False: "MISSED", None: ""}[self.reached]

    def cells(self) -> tuple[str, ...]:
        """As in `HEADER`."""
        return (self.what, self.measured, self.beside, self.goal, self.verdict)


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One bar of the picture; `group` names what is measured, `kind` who did it."""

    group: str
    kind: str
    value: float
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Chart:
    """Bars on one logarithmic axis; their kinds have one colour each."""

    title: str
    unit: str
    bars: Sequence[Bar]


@dataclass(frozen=True, kw_only=True)
class Section:
    """What one measurement found, and how."""

    title: str
    method: str
    rows: Sequence[Row]
    charts: Sequence[Chart] = field(default=())


def as_text(sections: Sequence[Section]) -> str:
    """One table in columns, a line for each section's title."""
    lines = [row.cells() for section in sections for row in section.rows]
    widths = [max(len(cells[column]) for cells in [HEADER, *lines]) for column in range(len(HEADER))]

    def line(cells: Iterable[str]) -> str:
        return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()

    text = [line(HEADER), line("-" * width for width in widths)]
    for section in sections:
        text += [section.title.upper(), *(line(row.cells()) for row in section.rows)]
    return "\n".join(text)


def as_markdown(section: Section) -> str:
    """One section of RESULTS.md: how, what, and what limits it."""
    rows = [HEADER, tuple("---" for _ in HEADER), *(row.cells() for row in section.rows)]
    table = "\n".join(f"| {' | '.join(cells)} |" for cells in rows)
    found = "\n".join(f"- {_few(names)}: {limit}" for limit, names in _by_limit(section.rows).items())
    limits = f"\nWhat limits it, by profiles of {PROFILED}:\n\n{found}\n" if found else ""
    return f"## {section.title}\n\n{section.method}\n\n{table}\n{limits}"


def headlines(sections: Iterable[Section]) -> str:
    """The figures to read first, a line each."""
    rows = [row for section in sections for row in section.rows if row.headline]
    return "\n".join(f"- {row.what}: **{row.measured}**{row.beside and f' ({row.beside})'}" for row in rows)


def _by_limit(rows: Iterable[Row]) -> dict[str, list[str]]:
    """The names of the rows that have a limit, by it."""
    found: dict[str, list[str]] = {}
    for row in rows:
        if row.limit:
            found.setdefault(row.limit, []).append(row.what)
    return found


def _few(names: Sequence[str]) -> str:
    return "; ".join(names) if len(names) < 3 else f"{names[0]} and {len(names) - 1} figures like it"


def verdicts(sections: Sequence[Section]) -> str:
    """How many goals were reached, and the names of the others; of those with the same limit, the first one's."""
    rows = [row for section in sections for row in section.rows if row.reached is not None]
    missed = [row for row in rows if not row.reached]
    names = [row.what for row in missed if not row.limit] + [_few(names) for names in _by_limit(missed).values()]
    return f"{len(rows) - len(missed)} of {len(rows)} goals reached" + (
        f". Missed: {'; '.join(names)}" if names else ""
    )
