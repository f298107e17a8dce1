"""The service as it is shipped: no setting but storage, one batch per five seconds."""

from tests.e2e.conftest import Start
from tests.e2e.limit import gaps
from tests.soak.verdict import CLOCK_SLEW


def test_one_batch_per_five_seconds(start: Start) -> None:
    """The README's example: a HIGH ingestion overtakes a MEDIUM one, and no slot is wasted."""
    defaults = {"INGEST_INTERVAL_SECONDS": "", "INGEST_SCHEDULE": "", "INGEST_SOURCE_DELAY_SECONDS": ""}
    host = start(**defaults, INGEST_SOURCE_TIMEOUT_SECONDS="")
    medium = host.post([11, 12, 13, 14], "MEDIUM")
    host.wait_for(medium, "triggered")
    high = host.post([1, 2, 3, 4, 5], "HIGH")
    host.wait_for(medium, "completed")
    records = host.records(medium, high)
    assert [record["ids"] for record in records] == [[11, 12, 13], [1, 2, 3], [4, 5], [14]]
    assert min(gaps(records)) >= 5 - CLOCK_SLEW
    assert max(gaps(records)) < 9.9, "a slot was wasted while work waited"
