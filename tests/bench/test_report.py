"""The table of results, in columns and in Markdown, and its count of goals."""

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
    """All values of a column begin at the same place."""
    lines = as_text(SECTIONS).splitlines()
    assert lines[2] == "ACCEPT"
    assert len({line.index(text) for line, text in zip(lines[3:], ("2", "9 ms", "70 MB"), strict=True)}) == 1


def test_markdown_has_method_rows_and_limits() -> None:
    """The page says how the figures were measured, what they are, and what limits them."""
    page = as_markdown(SECTIONS[0])
    assert "How it was done." in page
    assert "| a long name | 9 ms | 3 ms | at most 5 ms | MISSED |" in page
    assert "- a long name: a reason." in page


def test_a_missed_goal_is_named() -> None:
    """Figures without a goal are not counted."""
    assert verdicts(SECTIONS) == "1 of 2 goals reached. Missed: a long name"


def test_goals_missed_for_one_reason_are_named_together() -> None:
    """Otherwise many equal lines would hide the others."""
    rows = [Row(what=f"size {n}", measured="9 ms", goal="5 ms", reached=False, limit="a reason.") for n in (1, 2, 3)]
    rows.append(Row(what="another", measured="9 ms", goal="5 ms", reached=False))
    text = verdicts([Section(title="", method="", rows=rows)])
    assert text == "0 of 4 goals reached. Missed: another; size 1 and 2 figures like it"


def test_the_headlines_are_the_rows_that_are_marked_so() -> None:
    """They come first on the page."""
    assert headlines(SECTIONS) == "- calls: **2**"
