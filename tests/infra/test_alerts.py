"""The alerts read what the service writes."""

import re

import pytest

from devtools.azurite import ROOT
from tests.infra.bicep_files import config, state_line, variable

RULES = {rule["name"]: rule for rule in variable("alerts.bicep", "rules")}


def query(text: str) -> str:
    """A query with its variables filled in, as Bicep does it."""
    while found := re.search(r"\$\{(\w+)\}", text):
        text = text.replace(found[0], variable("alerts.bicep", found[1]))
    return text


@pytest.mark.parametrize("name", RULES)
def test_a_query_can_run_before_any_row_has_arrived(name: str) -> None:
    """A table without rows does not exist, so each real one stands beside an empty one."""
    text = query(RULES[name]["query"])
    assert text.startswith("union isfuzzy=true (")
    assert "datatable(TimeGenerated: datetime, Message: string, SeverityLevel: int)[]" in text
    assert config("alerts.bicep", "alerts")["properties"]["skipQueryValidation"] is True
    assert re.search(r"\| summarize found = (count|max)\(", text), "no row would mean no alert"
    assert text.count("(") == text.count(")")


def test_a_number_is_found_in_the_line_that_carries_it() -> None:
    """By the patterns of the queries, in the line as the operations page shows it."""
    line = state_line()
    for name, field in (("high-waits", "high_wait_seconds"), ("poison-not-empty", "poison_messages")):
        (pattern,) = re.findall(r'extract\("([^"]+)", 1, Message\)', query(RULES[name]["query"]))
        found = re.search(pattern, line)
        assert found, f"{name} does not find {field}"
        assert found[0].startswith(f"{field}=")
        assert found[1].isdigit()


@pytest.mark.parametrize(("paused", "silent"), [("none", False), ("LOW", False), ("HIGH,LOW", True), ("ALL", True)])
def test_a_paused_lane_may_wait(paused: str, silent: bool) -> None:  # a parameter of the cases
    """Somebody wants it to."""
    (pattern,) = re.findall(r'matches regex "([^"]+)"', query(RULES["high-waits"]["query"]))
    line = re.sub(r"paused=\S+", f"paused={paused}", state_line())
    assert f"paused={paused} " in line
    assert bool(re.search(pattern, line)) == silent


def test_every_line_begins_with_the_event_that_the_queries_look_for() -> None:
    """`startswith` ignores case, but knows no other beginning."""
    for name in set(RULES) - {"dispatch-fails"}:
        (event,) = re.findall(r'Message startswith "([^"]+)"', query(RULES[name]["query"]))
        assert state_line().startswith(event)


def test_the_dispatcher_logs_errors_by_the_name_that_is_looked_for() -> None:
    """Level 3 is what ERROR becomes in Application Insights."""
    text = query(RULES["dispatch-fails"]["query"])
    assert 'Message startswith "dispatch." and SeverityLevel >= 3' in text
    source = "".join(path.read_text() for path in (ROOT / "ingest_core").rglob("*.py"))
    assert re.search(r'log\.error\(\s*"dispatch\.', source)


def test_the_operations_page_explains_every_alert() -> None:
    """By its name, which stands in the e-mail."""
    page = (ROOT / "docs" / "operations.md").read_text()
    for name in RULES:
        assert f"`{name}`" in page
