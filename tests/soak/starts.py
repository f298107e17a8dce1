"""The starts of a run, by what arrived at the API and what the records say.

A *start* is the first request of a batch by one process. Its moment is known twice: at the API, and on the starter's
clock from the batch's record, unless a kill has left the start without one. The invariant, an interval between two
starts, holds exactly on the starter's clock (the record is cut to microseconds of a wall clock that may be slewed). At
the API a gap is shorter by as much as the first of the two was longer on its way: `latencies`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from tests.soak.api import Arrival
from tests.soak.callers import BATCH_SIZE, Ingestion

Record = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Start:
    """A start; `at` is when it reached the API, `sent_at` the starter's own word, both on the monotonic clock."""

    ingestion: Ingestion
    index: int
    process: str
    at: float
    wall: float
    sent_at: float | None = None

    @property
    def batch(self) -> tuple[str, int]:
        return self.ingestion.key, self.index

    @property
    def recorded_at(self) -> float | None:
        """The starter's own word on the wall clock: the API may be interrupted between its looks at its two clocks."""
        return None if self.sent_at is None else self.sent_at - self.at + self.wall

    def __str__(self) -> str:
        return f"{self.process} {self.ingestion.priority} {self.ingestion.ids[0]}+ batch {self.index} at {self.at:.3f}"


def starts_of(arrivals: Iterable[Arrival], ingestions: Iterable[Ingestion]) -> list[Start]:
    """Group the requests: one that repeats an ID of its batch and process begins another start."""
    owner = {item_id: one for one in ingestions for item_id in one.ids}
    seen: dict[tuple[str, int, str], set[int]] = {}
    found = []
    for arrival in arrivals:
        ingestion = owner[arrival.item_id]
        index = (arrival.item_id - ingestion.ids[0]) // BATCH_SIZE
        ids = seen.setdefault((ingestion.key, index, arrival.process), set())
        if not ids or arrival.item_id in ids:
            ids.clear()
            found.append(
                Start(ingestion=ingestion, index=index, process=arrival.process, at=arrival.at, wall=arrival.wall)
            )
        ids.add(arrival.item_id)
    return found


def with_records(starts: Sequence[Start], records: Mapping[tuple[str, int], Record]) -> list[Start]:
    """Add the starter's own moment to the start that each record tells of."""
    told = {}
    for batch, record in records.items():
        wall = datetime.fromisoformat(record["triggered_at"]).timestamp()
        candidates = [start for start in starts if start.batch == batch]
        if candidates:
            nearest = min(candidates, key=lambda start: abs(start.wall - wall))
            told[nearest.batch, nearest.at] = wall - nearest.wall + nearest.at
    return [replace(start, sent_at=told.get((start.batch, start.at))) for start in starts]
