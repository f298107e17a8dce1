"""What happened, noted where no death of a process reaches it, and what must be true of it.

Hosts, callers and the API append to one file, a JSON object a line, stamped with the world's time. `violations` reads
it and says what is wrong, in words; every ID in it belongs to one request only, so a fetch says which batch started.
"""

import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from ingest_core.models import Priority

BATCH_SIZE = 3
ROUNDING_SECONDS = 1e-6

Event = dict[str, Any]


class Ledger:
    """A file that every process of a test appends to."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = os.open(path, os.O_APPEND | os.O_CREAT | os.O_RDWR)

    def note(self, event: str, **fields: object) -> None:
        """Append an event; it is there even if the process dies at the next instruction."""
        os.write(self._file, f"{json.dumps({'event': event, **fields})}\n".encode())

    def events(self, *kinds: str) -> list[Event]:
        """What was noted, in order."""
        events = [json.loads(line) for line in self._path.read_text().splitlines()]
        return [event for event in events if not kinds or event["event"] in kinds]

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._file)


@dataclass(frozen=True, kw_only=True)
class Start:
    """A batch's first fetch: `position` in the ledger, `at` on the world's clock."""

    position: int
    at: float
    request: int
    index: int


@dataclass(frozen=True, kw_only=True)
class Posted:
    """A request: where in the ledger it was first sent and where its `202` arrived, if it did."""

    request: int
    lane: Priority
    ids: Sequence[int]
    sent: int
    acknowledged: int | None
    ingestion_id: str | None

    @property
    def batch_count(self) -> int:
        return -(-len(self.ids) // BATCH_SIZE)


def posted(events: Sequence[Event]) -> list[Posted]:
    """The requests, each once, however often its caller sent it."""
    sent: dict[int, tuple[int, Event]] = {}
    acknowledged: dict[int, tuple[int, Event]] = {}
    for position, event in enumerate(events):
        if event["event"] == "sent":
            sent.setdefault(event["request"], (position, event))
        elif event["event"] == "acknowledged":
            acknowledged.setdefault(event["request"], (position, event))
    return [
        Posted(
            request=request,
            lane=Priority(event["lane"]),
            ids=event["ids"],
            sent=position,
            acknowledged=acknowledged[request][0] if request in acknowledged else None,
            ingestion_id=acknowledged[request][1]["ingestion_id"] if request in acknowledged else None,
        )
        for request, (position, event) in sent.items()
    ]


def starts(events: Sequence[Event]) -> list[Start]:
    """The batches in the order in which they were started."""
    first_ids = {
        one.ids[index * BATCH_SIZE]: (one.request, index) for one in posted(events) for index in range(one.batch_count)
    }
    return [
        Start(position=position, at=event["at"], request=first_ids[event["id"]][0], index=first_ids[event["id"]][1])
        for position, event in enumerate(events)
        if event["event"] == "fetched" and event["id"] in first_ids
    ]


def violations(events: Sequence[Event], *, interval: float) -> Iterator[str]:
    """What breaks the limit, the order or "each batch ends once"."""
    found = starts(events)
    requests = posted(events)
    yield from _gaps(found, interval)
    yield from _order_inside(found)
    yield from _order_between(found, requests)
    ends = Counter((event["partition"], event["row"]) for event in events if event["event"] == "ended")
    yield from (f"batch {batch} was ended {count} times" for batch, count in ends.items() if count > 1)


def _gaps(found: Iterable[Start], interval: float) -> Iterator[str]:
    for before, after in pairwise(found):
        if after.at - before.at < interval - ROUNDING_SECONDS:
            yield f"{after} came only {after.at - before.at:.6f} s after {before}"


def _order_inside(found: Iterable[Start]) -> Iterator[str]:
    """Batches of one request run strictly in order, none skipped."""
    reached: dict[int, int] = {}
    for start in found:
        last = reached.get(start.request, -1)
        if start.index not in (last, last + 1):
            yield f"{start} came after batch {last}"
        reached[start.request] = start.index


def _order_between(found: Sequence[Start], requests: Sequence[Posted]) -> Iterator[str]:
    """Nothing starts while an earlier one of its lane, or one of a higher lane, that was acknowledged, has work left.

    "Earlier" means that it was acknowledged before the other was sent.
    """
    by_number = {one.request: one for one in requests}
    lanes = list(Priority)
    for start in found:
        mine = by_number[start.request]
        for other in requests:
            if other is mine or other.acknowledged is None or other.acknowledged > start.position:
                continue
            higher = lanes.index(other.lane) < lanes.index(mine.lane)
            if not higher and not (other.lane is mine.lane and other.acknowledged < mine.sent):
                continue
            done = {one.index for one in found if one.request == other.request and one.position < start.position}
            later = [one for one in found if one.request == other.request and one.position > start.position]
            if later or len(done) < other.batch_count:
                yield f"{start} of lane {mine.lane} came before request {other.request} of lane {other.lane} was done"
