"""Whether batches started in the order that the design promises, over lanes, lists and hosts."""

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from tests.soak.callers import PRIORITIES, Ingestion
from tests.soak.fleet import Freeze
from tests.soak.starts import Record, Start

LAST_LOOK_SECONDS = 1.5
"""Between a tick's last look and its start there is at most the start budget of 1 s; half a second is for the look."""

PROBING_SECONDS = 90.0
"""An API that was taken to be down is asked at least once a minute, and its first answer ends that."""


def out_of_order(
    starts: Sequence[Start],
    accepted: Sequence[Ingestion],
    freezes: Sequence[Freeze],
    down: Collection[str],
    marked_only: Collection[tuple[str, int]],
) -> Iterator[str]:
    """A start is wrong if a batch before it in the queue, accepted before its last look, had never been started.

    A batch that was started may run, so the ones behind it go on; whether it is started again in time is not judged.

    "Before it" is: of a higher lane; or of its lane and accepted before it was sent. Of two that overlapped, either may
    go first. A batch whose starter died or froze between mark and send counts as started: nobody else may start it
    until its lease is over, and the others go on (`marked_only`).
    `down` are the processes that took the API to be down.
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
        if _probes(start, freezes, down):
            reached[start.ingestion.key] = max(reached[start.ingestion.key], start.index)
            continue
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


def marked_only(starts: Sequence[Start], records: Mapping[tuple[str, int], Record], log: str) -> set[tuple[str, int]]:
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


def _probes(start: Start, freezes: Iterable[Freeze], down: Collection[str]) -> bool:
    """Whether its process may have taken the API to be down, because its fetches had timed out while it was suspended.

    Then another rule than the queue's order chooses.
    """
    return start.process in down and any(
        freeze.process == start.process and freeze.until <= start.at <= freeze.until + PROBING_SECONDS
        for freeze in freezes
    )
