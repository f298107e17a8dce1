"""What must be true of a run, and how far it was: judged by what arrived at the API, the records and the logs.

The starts are those of `tests/soak/starts.py`, and their order is judged in `tests/soak/order.py`.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median
from typing import Any

from ingest_core.dispatch.slots import START_BUDGET_SECONDS
from tests.soak.api import Arrival
from tests.soak.callers import Ingestion
from tests.soak.fleet import Freeze
from tests.soak.order import marked_only, out_of_order
from tests.soak.starts import Record, Start, starts_of, with_records

CLOCK_SLEW = 0.001
"""Records are stamped by the wall clock, which may be adjusted while a test runs; the limit is not kept by it."""

UNRECORDED_SECONDS = 0.25
"""A start without a record may take so much longer to arrive than any that has one."""

AFTER_THAW_SECONDS = 0.2
"""A request that comes so soon after a thaw may have been about to be sent when its process was suspended."""

LATE_SECONDS = 0.5
"""A request arrives at most so much later than its process sent it."""

STRIKING_SECONDS = 0.05
"""A freeze takes hold within this time of its note."""


@dataclass(kw_only=True)
class Verdict:
    """A run in numbers, and what is wrong with it."""

    interval: float
    starts: Sequence[Start] = ()
    accepted: int = 0
    batches: int = 0
    lost: Sequence[str] = ()
    ended_twice: Sequence[str] = ()
    out_of_order: Sequence[str] = ()
    too_close: Sequence[str] = ()
    repeated_early: Sequence[str] = ()
    suspended: Sequence[str] = ()
    strikes: int = 0
    running: int = 1
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
        found += [f"ended twice: {what}" for what in self.ended_twice]
        found += [f"out of order: {what}" for what in self.out_of_order]
        found += [f"too close: {what}" for what in self.too_close]
        found += [f"started again before the lease was over: {what}" for what in self.repeated_early]
        if self.repeated > self.strikes * self.running:
            found.append(
                f"{self.repeated} starts were repeated, but {self.strikes} kills and freezes can hit"
                f" {self.strikes * self.running} batches at most"
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
            f"share of slots used            {100 * self.slots_used:.1f} %",
            f"lost                           {len(self.lost)}",
            f"ended twice                    {len(self.ended_twice)}",
            f"out of order                   {len(self.out_of_order)}",
            f"early: within the interval     {len(self.too_close)}",
            f"early: before a lease was over {len(self.repeated_early)}",
            f"sent after a suspension        {len(self.suspended)}",
            f"starts repeated after a strike {self.repeated} ({self.strikes} kills and freezes)",
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
    running: int = 1,
    down: Collection[str] = frozenset(),
) -> Verdict:
    """Look for everything that must not be. `statuses` are by ingestion ID, `records` by key and batch index.

    `running` is how many batches one strike can hit; `down` are the processes that took the API to be down.
    """
    starts = with_records(starts_of(arrivals, ingestions), records)
    accepted = [one for one in ingestions if one.acknowledged_at is not None]
    pairs = too_close(starts, interval)
    excused = {start for pair in pairs for start in pair if suspended(start, starts, freezes, interval)}
    return Verdict(
        interval=interval,
        starts=starts,
        accepted=len(accepted),
        batches=sum(one.batch_count for one in accepted),
        lost=list(_lost(accepted, statuses, {arrival.item_id for arrival in arrivals})),
        ended_twice=[
            f"{batch} {count} times"
            for batch, count in Counter(re.findall(r"batch\.(?:completed|failed) batch_id=(\S+)", log)).items()
            if count > 1
        ],
        out_of_order=list(out_of_order(starts, accepted, freezes, down, marked_only(starts, records, log))),
        too_close=[text for pair, text in pairs.items() if excused.isdisjoint(pair)],
        repeated_early=list(_repeated_early(starts, lease)),
        suspended=[str(start) for start in starts if start in excused],
        strikes=kills + len(freezes),
        running=running,
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
            on_its_way = longest + UNRECORDED_SECONDS if earlier.sent_at is None else earlier.at - earlier.sent_at
            gap, least, where = later.at - earlier.at, interval - on_its_way, "at the API"
        if gap < least - CLOCK_SLEW:
            found[earlier, later] = f"{gap:.6f} s between {earlier} and {later}, {where}"
    return found


def _repeated_early(starts: Sequence[Start], lease: float) -> Iterator[str]:
    """No batch has two live owners: who starts it again has waited for the lease, which counts from the take.

    The source's timeout is shorter, so an attempt that fails and its wait take about as long.
    """
    last: dict[tuple[str, int], Start] = {}
    for start in starts:
        before = last.get(start.batch)
        if before and start.at - before.at < lease - START_BUDGET_SECONDS - LATE_SECONDS:
            yield f"{start}, after {before}"
        last[start.batch] = start


def suspended(start: Start, starts: Sequence[Start], freezes: Iterable[Freeze], interval: float) -> bool:
    """Whether its process may have been suspended between its last look at the clock and the send.

    Then it was sent as soon as the process went on; its slot was due when the process was suspended; and as the process
    had taken the gate, at most the start budget before, nobody else started for the interval after that.
    """
    others = [one.at if one.sent_at is None else one.sent_at for one in starts if one is not start]
    return any(
        freeze.process == start.process
        and freeze.until <= start.at <= freeze.until + AFTER_THAW_SECONDS
        and not any(freeze.since + STRIKING_SECONDS - interval < other < freeze.since + interval for other in others)
        for freeze in freezes
    )
