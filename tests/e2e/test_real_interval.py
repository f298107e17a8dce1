"""The service as it is shipped: no setting but storage, one batch per five seconds."""

from datetime import datetime
from itertools import pairwise

from tests.e2e.conftest import Start


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
    starts = [datetime.fromisoformat(record["triggered_at"]) for record in records]
    gaps = [(later - earlier).total_seconds() for earlier, later in pairwise(starts)]
    assert min(gaps) >= 4.999
    assert max(gaps) < 9.9, "a slot was wasted while work waited"
