"""The limit as the tests measure it: to the millisecond by the batches' records, and less exactly at the API."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any

from tests.soak.starts import Start, with_records
from tests.soak.verdict import too_close

JITTER_SECONDS = 0.5
"""The API sees a start as late as its connection takes: a few milliseconds, much more on a busy machine."""


def started(record: Mapping[str, Any]) -> datetime:
    """When a batch was started, by its starter's own word; of several attempts, the last."""
    return datetime.fromisoformat(record["triggered_at"])


def gaps(records: Sequence[Mapping[str, Any]]) -> list[float]:
    """Seconds between the starts of consecutive batches."""
    return [(started(later) - started(earlier)).total_seconds() for earlier, later in pairwise(records)]


def check_distances(
    starts: Sequence[Start], records: Mapping[tuple[str, int], Mapping[str, Any]], interval: float
) -> None:
    """No two starts are too close: by their records where both have one, and with jitter at the API.

    Storage may have lost the record of a start, and how long that one took to arrive is then not known.
    """
    found = with_records(starts, records)
    told = [text for pair, text in too_close(found, interval).items() if all(start.sent_at for start in pair)]
    assert not told, told
    on_their_way = max((start.at - start.sent_at for start in found if start.sent_at), default=0.0)
    at_api = [later.at - earlier.at for earlier, later in pairwise(found) if not (earlier.sent_at and later.sent_at)]
    assert min(at_api, default=interval) >= interval - on_their_way - JITTER_SECONDS, sorted(at_api)[:3]
