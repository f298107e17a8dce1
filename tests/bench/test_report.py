"""The table: columns that line up, Markdown that is a table, goals that are counted."""

from bench.report import Row, Section, as_markdown, as_text, headlines, verdicts

SECTIONS = [
    Section(
        title="Accept",
        method="How it was done.",
        rows=[
            Row(what="calls", measured="2", goal="2", reached=True, headline=True),
            Row(
                what="a long name",
                measured="9 ms",
                beside="3 ms",
                goal="at most 5 ms",
                reached=False,
                limit="a reason.",
            ),
            Row(what="memory", measured="70 MB"),
        ],
    )
]


def test_columns_line_up() -> None:
    """A person reads it in a terminal."""
    lines = as_text(SECTIONS).splitlines()
    assert lines[2] == "ACCEPT"
    assert len({line.index(text) for line, text in zip(lines[3:], ("2", "9 ms", "70 MB"), strict=True)}) == 1


def test_markdown_has_method_rows_and_limits() -> None:
    """Whoever reads the page learns how, what, and why not better."""
    page = as_markdown(SECTIONS[0])
    assert "How it was done." in page
    assert "| a long name | 9 ms | 3 ms | at most 5 ms | MISSED |" in page
    assert "- a long name: a reason." in page


def test_a_missed_goal_is_named() -> None:
    """It is not to be overlooked; figures without a goal are not counted."""
    assert verdicts(SECTIONS) == "1 of 2 goals reached. Missed: a long name"


def test_goals_missed_for_one_reason_are_named_together() -> None:
    """Nine lines that say the same hide the tenth."""
    rows = [Row(what=f"size {n}", measured="9 ms", goal="5 ms", reached=False, limit="a reason.") for n in (1, 2, 3)]
    rows.append(Row(what="another", measured="9 ms", goal="5 ms", reached=False))
    found = verdicts([Section(title="", method="", rows=rows)])
    assert found == "0 of 4 goals reached. Missed: another; size 1 and 2 figures like it"


def test_the_headlines_come_first() -> None:
    """For somebody in a hurry."""
    assert headlines(SECTIONS) == "- calls: **2**"
