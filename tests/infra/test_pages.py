"""What the pages on operations and security say is so: headers, queries, sums."""

import math
import re
from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from devtools.azurite import ROOT
from ingest_core.api.messages import Request
from ingest_core.api.pages import answer_page
from ingest_core.dispatch.attempt import Failed, Fetched, Throttled
from ingest_core.dispatch.outage import ApiState
from ingest_core.dispatch.settlement import Rules, StartedBatch, settle
from ingest_core.models import Item, Priority
from tests.infra.bicep_files import state_line

OPERATIONS = (ROOT / "docs" / "operations.md").read_text()
SECURITY = (ROOT / "docs" / "security.md").read_text()
PRODUCTS = re.findall(
    r"^\| ([^|]+) \| ((?:[\d. ]+(?: GB| s| million)? × )+\$[\d.]+)(?:, in place of \$[\d.]+)? \| \$([\d.]+) \|$",
    OPERATIONS,
    re.MULTILINE,
)
"""What is paid for, the product of its factors, and the price, of each row that has them."""


def test_the_pages_are_sent_with_the_headers_of_the_security_page() -> None:
    """Those that it explains, with the values that it gives."""
    shown = dict(re.findall(r"^\| `([\w-]+): ([^`]+)` \|", SECURITY, re.MULTILINE))
    assert shown
    for page in ("board.html", "docs.html"):
        headers = answer_page(page, Request(method="GET", url="http://localhost/")).headers
        assert shown.items() <= dict(headers).items()


def lines_of_attempts() -> list[str]:
    """The line that each kind of attempt ends with."""
    now = datetime(2026, 1, 1, tzinfo=UTC)
    batch = StartedBatch(
        ingestion_id=uuid4(), lane=Priority.HIGH, index=0, ids=(7,), token="t", started_at=now, attempts=5, failures=4
    )  # fmt: skip
    again = replace(batch, failures=0)
    items = [Item(item_id=7, error="500", is_final=False)]
    failed = Failed(error="the API answered 500", items=items, had_answer=True)
    rules = Rules(max_attempts=5, interval=5.0, max_retry_after=3600.0)
    outcomes = (
        (batch, Fetched(items=[Item(item_id=7, data="1")])), (batch, failed), (again, failed),
        (batch, Throttled(error="the API answered 429", items=items, retry_after_seconds=1.0)),
    )  # fmt: skip
    settlements = [
        settle(one, outcome, before=ApiState(), after=ApiState(), rules=rules, age=0.0, now=now)
        for one, outcome in outcomes
    ]
    return [settlement.lines[0].text for settlement in settlements]


def test_the_query_for_slots_counts_every_kind_of_attempt_once() -> None:
    """By how its line begins."""
    query = OPERATIONS.partition("// Slots used")[2].partition("//")[0]
    beginnings = re.findall(r'startswith "([^"]+)"', query)
    for line in lines_of_attempts():
        assert [line.startswith(beginning) for beginning in beginnings].count(True) == 1, line


def test_the_query_for_failures_finds_the_ingestion_and_the_error() -> None:
    """By the patterns as they stand there."""
    query = OPERATIONS.partition("// Failures")[2]
    patterns = [text.replace("\\\\", "\\") for text in re.findall(r'extract\("([^"]+)", 1, Message\)', query)]
    beginnings = tuple(re.findall(r'startswith "([^"]+)"', query))
    found = [line for line in lines_of_attempts() if line.startswith(beginnings)]
    assert len(found) == 2
    for line in found:
        ingestion, error = (re.search(pattern, line) for pattern in patterns)
        assert ingestion
        assert len(ingestion[1]) == 36
        assert error
        assert error[1] == "the API answered 500"


def test_the_query_for_waits_splits_the_line_at_its_fields() -> None:
    """`parse` takes the texts between the fields as they are."""
    query = OPERATIONS.partition("// The longest wait")[2].partition("//")[0]
    (between,) = re.findall(r"parse Message with \* (.*) \*", query)
    place = 0
    for text in re.findall(r'"([^"]*)"', between):
        place = state_line().index(text, place) + len(text)


@pytest.mark.parametrize(("what", "product", "price"), PRODUCTS)
def test_a_price_is_the_product_beside_it(what: str, product: str, price: str) -> None:
    """In dollars and cents."""
    factors = [float(factor.replace(" ", "")) for factor in re.findall(r"\d[\d.]*(?: \d{3})*", product)]
    assert f"{math.prod(factors):.2f}" == price, what


def test_the_sums_are_those_of_the_prices() -> None:
    """An idle service: always ready, ticks, executions. A busy one: ticks that last in their place."""
    always_ready, idle, executions, busy = (float(price) for _, _, price in PRODUCTS)
    idle_together, busy_together = re.findall(r"together\*\*.*\*\*\$([\d.]+)\*\*", OPERATIONS)
    assert f"{always_ready + idle + executions:.2f}" == idle_together
    assert f"{always_ready + busy + executions:.2f}" == busy_together
