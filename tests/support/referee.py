"""The model that the service is held against, and what may never happen.

It sees every effect on storage at the moment it happens, and every start, on true time. At every start:

    gaps         no two starts are closer than the interval, but for the starter's own clock
    owners       nobody starts a batch whose fetch is under way in another process that is alive
    order        no batch starts while an older or higher one, acknowledged before the look, may start instead
    barrier      none starts in a lane whose pause was acknowledged
    throttle     none starts while the API's own wait, once written, lasts

The end of a batch is written once, by the start that owns it; a message leaves its queue only after its ingestion has
ended. What breaks a rule is noted in `violations`.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from ingest_core.models import Ingestion, Priority
from ingest_core.storage.lanes import ticket_of
from ingest_core.storage.rows import decode_ingestion
from tests.support.virtual_time import true_time

LANES = tuple(Priority)
BATCH_SIZE = 3
CLOCK_RATES = 0.001
"""Clocks of two hosts may differ by this share: a gap may be that much shorter than the interval."""

BatchKey = tuple[UUID, int]


@dataclass(frozen=True, kw_only=True)
class Looked:
    """When a process began its last look, and what it then took for true."""

    at: float = 0.0
    age: float = 0.0
    api_is_down: bool = False
    running_here: frozenset[BatchKey] = frozenset()


@dataclass(eq=False)
class Entry:
    """One list. Without a `position` it has no message yet; without an `acknowledged_at` nobody relies on it."""

    ids: Sequence[int]
    ingestion_id: UUID
    lane: Priority
    entity: dict[str, Any] = field(default_factory=dict)
    present: Ingestion | None = None
    changed_at: float = 0.0
    position: int | None = None
    placed_at: float = 0.0
    acknowledged_at: float | None = None
    #: Where each batch stood when its latest start was marked.
    marked: dict[int, tuple[int, int, int]] = field(default_factory=dict)
    ended: dict[int, str] = field(default_factory=dict)
    delivered: set[int] = field(default_factory=set)

    @property
    def has_ended(self) -> bool:
        """Whether its row says so."""
        return self.present is not None and self.present.has_ended

    def may_start(self, looked: Looked) -> int | None:
        """The first batch that a process which looked then had to see."""
        row = self.present
        if row is None or self.position is None or row.cancel_requested_at or self.acknowledged_at is None:
            return None
        if max(self.acknowledged_at, self.placed_at) >= looked.at:
            return None
        waiting = [f.index for f in row.in_flight if not f.running and f.not_before <= looked.age]
        waiting = [i for i in waiting if (row.ingestion_id, i) not in looked.running_here]
        if waiting and self.changed_at < looked.at:
            return waiting[0]
        has_room = row.started_batches < row.batch_count and len(row.in_flight) < 32
        return row.started_batches if has_room else None

    def place(self, index: int) -> tuple[int, int, int]:
        """Where a batch stands in the queue of all queues."""
        lane = self.present.priority if self.present else self.lane
        return LANES.index(lane), self.position or 0, index

    def __str__(self) -> str:
        lane = self.present.priority if self.present else self.lane
        return f"{lane} #{self.position} {str(self.ingestion_id)[:8]}"


@dataclass(frozen=True, kw_only=True)
class Start:
    """A batch that was sent, on true time."""

    at: float
    process: Any
    entry: Entry
    index: int


class Referee:
    """Keeps the model and compares."""

    def __init__(self, *, interval: float) -> None:
        self.interval = interval
        self.violations: list[str] = []
        self.entries: dict[UUID, Entry] = {}
        self.starts: list[Start] = []
        self.paused_at: dict[Priority, float] = {}  # acknowledged
        self.paused: set[Priority] = set()  # lanes whose pause has perhaps been written
        self.resumed_at: dict[Priority, float] = {}
        self._throttles: list[tuple[float, float]] = []
        self._by_item: dict[int, tuple[Entry, int]] = {}
        self._fetching: dict[BatchKey, list[tuple[Any, float]]] = {}
        self._open: list[Entry] = []
        self._positions = 0

    def expect(self, ingestion_id: UUID, ids: Sequence[int], lane: Priority) -> Entry:
        """Somebody is about to post a list; no ID is used twice."""
        entry = self.entries[ingestion_id] = Entry(ids, ingestion_id, lane)
        for place, item_id in enumerate(ids):
            self._by_item[item_id] = (entry, place // BATCH_SIZE)
        self._open.append(entry)
        return entry

    def saw(self, name: str, args: tuple[Any, ...], answer: Any) -> None:  # as the call's
        """An effect on storage, at its moment."""
        match name.split("."):
            case "ingestions", "insert" | "merge":
                self._see_row(args[0])
            case "ingestions", "put_and_merge":
                self._see_end(args[0], args[1])
            case lane, "put":
                self._see_put(Priority(lane), args[0])
            case lane, "receive" if answer is not None and self._is_open(lane, answer):
                self.blame(f"{lane}: the message of an open ingestion was received")
            case lane, "delete" if lane in LANES and self._is_open(lane, args[0]):
                self.blame(f"{lane}: the message of an open ingestion was deleted")

    def started(self, process: Any, ids: Sequence[int], until: float) -> BatchKey:  # a cluster's process
        """A batch was sent. Its process may fetch until then at most."""
        now = true_time()
        entry, index = self._by_item[ids[0]]
        key = (entry.ingestion_id, index)
        name = f"{now:.3f}: {process.name} started {entry}/{index}"
        if self.starts and now - self.starts[-1].at < self.interval * (1 - CLOCK_RATES):
            self.blame(f"{name} {now - self.starts[-1].at:.6f} s after {self.starts[-1].process.name}")
        if any(not other.wire.dead and end > now for other, end in self._fetching.get(key, [])):
            self.blame(f"{name}, which is being fetched")
        if any(begin < now < end for begin, end in self._throttles[-9:]):
            self.blame(f"{name} while the API asks to wait")
        lane = entry.present.priority if entry.present else entry.lane
        if lane in self.paused_at:
            self.blame(f"{name} in a paused lane")
        if not process.looked.api_is_down:
            self._check_order(name, entry, index, process.looked)
        self._fetching.setdefault(key, []).append((process, until))
        self.starts.append(Start(at=now, process=process, entry=entry, index=index))
        return key

    def fetched(self, process: Any, key: BatchKey, *, delivered: bool) -> None:  # as above
        """The API has answered."""
        self._fetching[key] = [(other, end) for other, end in self._fetching[key] if other is not process]
        if delivered:
            self.entries[key[0]].delivered.add(key[1])

    def throttled(self, begin: float, end: float) -> None:
        """A process has told the others that the API asked to wait."""
        self._throttles.append((begin, end))

    def rolled_back(self, entry: Entry, rows: Mapping[str, Mapping[str, Any]], *, has_message: bool) -> None:
        """Storage has lost its last writes: these rows of a list are left, and perhaps its message."""
        entry.entity = dict(rows[str(entry.ingestion_id)])
        entry.present = decode_ingestion(entry.entity)
        entry.ended = {index: status for index, status in entry.ended.items() if f"batch-{index:08}" in rows}
        if not has_message:
            entry.position = None
        self._fetching.clear()  # a lost mark protects nobody
        if not entry.has_ended and entry not in self._open:
            self._open.append(entry)

    def gaps(self) -> list[float]:
        """The seconds between each two starts."""
        return [after.at - before.at for before, after in zip(self.starts, self.starts[1:], strict=False)]

    def open(self) -> list[Entry]:
        """What has been posted and has not ended."""
        self._open = [entry for entry in self._open if not entry.has_ended]
        return list(self._open)

    def check_ends(self) -> None:
        """Every batch has ended once, and nothing completed without its data."""
        for entry in self.entries.values():
            row = entry.present
            if row is None or not row.has_ended:
                self.blame(f"{entry} never ended")
                continue
            left = set(range(row.batch_count)) - set(entry.ended) - set(row.cancelled_batches)
            if row.cancel_requested_at:
                left -= set(range(row.started_batches, row.batch_count))
            if left:
                self.blame(f"{entry}/{min(left)} has no record, and neither have {len(left) - 1} others")

    def check(self) -> None:
        """Fail if a rule was broken."""
        assert not self.violations, "\n".join(self.violations[:5])

    def blame(self, what: str) -> None:
        """Note what must not happen."""
        self.violations.append(what)

    def _check_order(self, name: str, entry: Entry, index: int, looked: Looked) -> None:
        place = entry.marked.get(index) or entry.place(index)  # it may have moved since it was marked
        for other in self.open():
            row = other.present
            if row is None or row.priority in self.paused or self.resumed_at.get(row.priority, -1.0) >= looked.at:
                continue
            first = other.may_start(looked)
            if first is not None and other.place(first) < place:
                self.blame(f"{name} before {other}/{first}")

    def _see_row(self, properties: Mapping[str, Any]) -> None:
        entry = self.entries.get(UUID(str(properties["PartitionKey"])))
        if entry is None:
            return
        entry.entity.update(properties)
        before, entry.present = entry.present, decode_ingestion(entry.entity)
        entry.changed_at = true_time()
        if before and before.generation != entry.present.generation:
            entry.position = None
        known = {flight.token for flight in before.in_flight if flight.running} if before else set()
        for flight in entry.present.in_flight:
            if flight.running and flight.token not in known:
                entry.marked[flight.index] = entry.place(flight.index)

    def _see_end(self, put: Mapping[str, Any], merged: Mapping[str, Any]) -> None:
        entry = self.entries[UUID(str(put["PartitionKey"]))]
        index = int(str(put["RowKey"]).removeprefix("batch-"))
        flight = entry.present.flight(index) if entry.present else None
        if flight is None or index in entry.ended:
            self.blame(f"{entry}/{index} ended twice")
        elif flight.token != put["token"]:
            self.blame(f"{entry}/{index} was ended by a start that does not own it")
        if put["status"] == "completed" and index not in entry.delivered:
            self.blame(f"{entry}/{index} completed without its data")
        entry.ended[index] = str(put["status"])
        self._see_row(merged)

    def _see_put(self, lane: Priority, text: str) -> None:
        fields = json.loads(text)
        entry = self.entries.get(UUID(fields["ingestion_id"]))
        if entry is None or entry.present is None:
            return
        is_current = entry.present.priority is lane and entry.present.generation == fields["generation"]
        if is_current and entry.position is None:
            self._positions += 1
            entry.position, entry.placed_at = self._positions, true_time()

    def _is_open(self, lane: str, message: Any) -> bool:  # a Message
        ticket = ticket_of(message)
        entry = self.entries.get(ticket.ingestion_id) if ticket else None
        if ticket is None or entry is None or entry.present is None or entry.has_ended:
            return False
        return entry.present.priority == lane and entry.present.generation == ticket.generation
