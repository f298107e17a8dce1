"""The limit as the tests measure it: to the millisecond by the batches' records, and less exactly at the API."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any

CLOCK_SLEW = 0.001
"""Records are stamped by the wall clock, which may be adjusted while a test runs; the limit is not kept by it."""

JITTER_SECONDS = 0.1
"""The API sees a start as late as its connection takes: a few milliseconds, more on a busy machine."""


def started(record: Mapping[str, Any]) -> datetime:
    """When a batch was started, by its starter's own word; of several attempts, the last."""
    return datetime.fromisoformat(record["triggered_at"])


def gaps(records: Sequence[Mapping[str, Any]]) -> list[float]:
    """Seconds between the starts of consecutive batches."""
    return [(started(later) - started(earlier)).total_seconds() for earlier, later in pairwise(records)]
