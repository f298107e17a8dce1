"""What must be true of a run, and how far it was: judged by what arrived at the API, the records and the logs.

A *start* is the first request of a batch by one process. Its moment is known twice: at the API, and on the starter's
clock from the batch's record, unless a kill has left the start without one. The invariant, an interval between two
starts, holds exactly on the starter's clock (the record is cut to microseconds of a wall clock that may be slewed). At
the API a gap is shorter by as much as the first of the two was longer on its way: `latencies`.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import pairwise
from statistics import median
from typing import Any

from ingest_core.dispatch.slots import START_BUDGET_SECONDS
from tests.soak.api import Arrival
from tests.soak.callers import BATCH_SIZE, PRIORITIES, Ingestion
from tests.soak.fleet import Freeze

CLOCK_SLEW = 0.001
"""Records are stamped by the wall clock, which may be adjusted while a test runs; the limit is not kept by it."""

LAST_LOOK_SECONDS = 1.5
"""Between a tick's last look and its start there is at most the start budget of 1 s; half a second is for the look."""

AFTER_THAW_SECONDS = 0.2
"""A request that comes so soon after a thaw may have been about to be sent when its process was suspended."""

STRIKING_SECONDS = 0.05
"""A freeze takes hold within this time of its note."""

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


@dataclass(kw_only=True)
class Verdict:
    """A run in numbers, and what is wrong with it."""

    interval: float
    starts: Sequence[Start] = ()
    accepted: int = 0
    batches: int = 0
    lost: Sequence[str] = ()
    completed_twice: Sequence[str] = ()
    out_of_order: Sequence[str] = ()
    too_close: Sequence[str] = ()
    suspended: Sequence[str] = ()
    strikes: int = 0
    freezes: int = 0
    latencies: Sequence[float] = field(default=())

    @property
    def gaps_at_api(self) -> list[float]:
        return [later.at - earlier.at for earlier, later in pairwise(self.starts)]

    @property
    def gaps_at_starter(self) -> list[float]:
        """Between starts that both have a record."""
        moments = [(earlier.sent_at, later.sent_at) for earlier, later in pairwise(self.starts)]
        return [later - earlier for earlier, later in moments if earlier is not None and later is not None]

    @property
    def repeated(self) -> int:
        """Starts of a batch beyond its first: at-least-once."""
        return len(self.starts) - len({start.batch for start in self.starts})

    @property
    def slots_used(self) -> float:
        """The share of the slots, from the first start to the last, in which a batch was started."""
        elapsed = self.starts[-1].at - self.starts[0].at
        return (len(self.starts) - 1) * self.interval / elapsed if elapsed else 0.0

    def problems(self) -> list[str]:
        """Everything that must not be."""
        found = [f"lost: {what}" for what in self.lost]
        found += [f"completed twice: {what}" for what in self.completed_twice]
        found += [f"out of order: {what}" for what in self.out_of_order]
        found += [f"too close: {what}" for what in self.too_close]
        if self.repeated > self.strikes:
            found.append(
                f"{self.repeated} starts were repeated, but only {self.strikes} kills and freezes could do that"
            )
        # Assumed by the gate: nobody is suspended between its last check and the send. A freeze at random may hit that.
        if len(self.suspended) > 1 + self.freezes // 100:
            found += [f"suspended before the send, too often to be chance: {what}" for what in self.suspended]
        return found

    def text(self) -> str:
        """The numbers, a line for each."""
        return "\n".join((
            f"ingestions accepted            {self.accepted}",
            f"batches                        {self.batches}",
            f"starts seen by the API         {len(self.starts)}",
            f"lost                           {len(self.lost)}",
            f"completed twice                {len(self.completed_twice)}",
            f"out of order                   {len(self.out_of_order)}",
            f"starts too close               {len(self.too_close)}",
            f"sent after a suspension        {len(self.suspended)}",
            f"starts repeated after a strike {self.repeated} ({self.strikes} kills and freezes)",
            f"slots used                     {100 * self.slots_used:.1f} %",
            f"gaps on the starters' clocks   {_spread(self.gaps_at_starter)} s of {self.interval:g}",
            f"gaps at the API                {_spread(self.gaps_at_api)} s",
            f"from start to arrival          {_spread(self.latencies)} s",
        ))  # fmt: skip


def _spread(seconds: Sequence[float]) -> str:
    if not seconds:
        return "none"
    return f"min {min(seconds):.6f}  median {median(seconds):.6f}  max {max(seconds):.6f}"


def judge(
    *,
    interval: float,
    arrivals: Sequence[Arrival],
    ingestions: Sequence[Ingestion],
    statuses: Mapping[str, Mapping[str, Any]],
    records: Mapping[tuple[str, int], Record],
    log: str,
    kills: int,
    freezes: Sequence[Freeze],
    lease: float,
) -> Verdict:
    """Look for everything that must not be. `statuses` are by ingestion ID, `records` by key and batch index."""
    starts = with_records(starts_of(arrivals, ingestions), records)
    accepted = [one for one in ingestions if one.acknowledged_at is not None]
    pairs = too_close(starts, interval)
    excused = {start for pair in pairs for start in pair if suspended(start, starts, freezes, interval, lease)}
    return Verdict(
        interval=interval,
        starts=starts,
        accepted=len(accepted),
        batches=sum(one.batch_count for one in accepted),
        lost=list(_lost(accepted, statuses, {arrival.item_id for arrival in arrivals})),
        completed_twice=[
            f"{batch} {count} times"
            for batch, count in Counter(re.findall(r"batch\.completed batch_id=(\S+)", log)).items()
            if count > 1
        ],
        out_of_order=list(_out_of_order(starts, accepted, freezes, _marked_only(starts, records, log))),
        too_close=[text for pair, text in pairs.items() if excused.isdisjoint(pair)],
        suspended=[str(start) for start in starts if start in excused],
        strikes=kills + len(freezes),
        freezes=len(freezes),
        latencies=[start.at - start.sent_at for start in starts if start.sent_at is not None],
    )


def _lost(
    accepted: Iterable[Ingestion], statuses: Mapping[str, Mapping[str, Any]], asked_for: set[int]
) -> Iterator[str]:
    for one in accepted:
        status = statuses.get(one.ingestion_id, {"status": "unknown", "batches": []})
        if status["status"] != "completed":
            yield f"{one.ingestion_id} is {status['status']}"
        elif [item_id for batch in status["batches"] for item_id in batch["ids"]] != list(one.ids):
            yield f"{one.ingestion_id} has other IDs than were sent"
        elif not asked_for.issuperset(one.ids):
            yield f"{one.ingestion_id} is completed, but the API was not asked for all its IDs"


def too_close(starts: Sequence[Start], interval: float) -> dict[tuple[Start, Start], str]:
    """The pairs of consecutive starts that are less than the interval apart, and how far they are."""
    latencies = [start.at - start.sent_at for start in starts if start.sent_at is not None]
    longest = max(latencies, default=0.0)
    found = {}
    for earlier, later in pairwise(starts):
        if earlier.recorded_at is not None and later.recorded_at is not None:
            gap, least, where = later.recorded_at - earlier.recorded_at, interval, "by their records"
        else:
            on_its_way = longest if earlier.sent_at is None else earlier.at - earlier.sent_at
            gap, least, where = later.at - earlier.at, interval - on_its_way, "at the API"
        if gap < least - CLOCK_SLEW:
            found[earlier, later] = f"{gap:.6f} s between {earlier} and {later}, {where}"
    return found


def suspended(start: Start, starts: Sequence[Start], freezes: Iterable[Freeze], interval: float, lease: float) -> bool:
    """Whether its process may have been suspended between its last look at the clock and the send.

    Then it was sent as soon as the process went on; its slot was due when the process was suspended; and as the process
    had taken the gate, at most the start budget before, nobody else started until its lease was over.
    """
    others = [one.at if one.sent_at is None else one.sent_at for one in starts if one is not start]
    return any(
        freeze.process == start.process
        and freeze.until <= start.at <= freeze.until + AFTER_THAW_SECONDS
        and not any(
            freeze.since + STRIKING_SECONDS - interval < other < freeze.since - START_BUDGET_SECONDS + lease
            for other in others
        )
        for freeze in freezes
    )


def _out_of_order(
    starts: Sequence[Start], accepted: Sequence[Ingestion], freezes: Sequence[Freeze], marked_only: set[tuple[str, int]]
) -> Iterator[str]:
    """A start is wrong if a batch before it in the queue, accepted before its last look, had never been started.

    "Before it" is: of a higher lane; or of its lane and accepted before it was sent. Of two that overlapped, either may
    go first. A batch whose starter died or froze between mark and send counts as started: nobody else may start it
    until its lease is over, and the others go on (`marked_only`).
    """
    first_starts: dict[tuple[str, int], float] = {}
    for start in starts:
        first_starts.setdefault(start.batch, start.at)
    last_first_start: dict[str, float] = defaultdict(float)
    for (key, index), at in first_starts.items():
        if (key, index) not in marked_only:
            last_first_start[key] = max(last_first_start[key], at)
    reached: dict[str, int] = defaultdict(lambda: -1)
    for start in starts:
        mine = start.ingestion
        is_first = first_starts[start.batch] == start.at
        if is_first and start.index < reached[mine.key] and start.batch not in marked_only:
            yield f"{start} followed batch {reached[mine.key]}"
        reached[mine.key] = max(reached[mine.key], start.index)
        look = _last_look(start, freezes)
        for other in accepted:
            if other is mine or (other.acknowledged_at or 0) > look or last_first_start[other.key] <= start.at:
                continue
            lanes = PRIORITIES.index(other.priority), PRIORITIES.index(mine.priority)
            if lanes[0] < lanes[1] or (lanes[0] == lanes[1] and (other.acknowledged_at or 0) < mine.sent_at):
                yield f"{start} came before {other.priority} {other.ids[0]}+, accepted at {other.acknowledged_at:.3f}"


def _marked_only(starts: Sequence[Start], records: Mapping[tuple[str, int], Record], log: str) -> set[tuple[str, int]]:
    """Batches that were marked more often than they were sent: by their count of attempts, or by the log."""
    sent = Counter(start.batch for start in starts)
    not_sent = set(re.findall(r"batch\.not_sent batch_id=(\S+)", log))
    return {
        batch
        for batch, record in records.items()
        if record.get("attempts", 0) > sent[batch] or record.get("batch_id") in not_sent
    }


def _last_look(start: Start, freezes: Iterable[Freeze]) -> float:
    look = start.at - LAST_LOOK_SECONDS
    for freeze in freezes:
        if freeze.process == start.process and look <= freeze.until and freeze.since <= start.at:
            look = min(look, freeze.since - LAST_LOOK_SECONDS)
    return look
