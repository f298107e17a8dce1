"""The model that the service is held against: a plain priority queue, and what may never happen.

It sees every effect on storage at the moment it happens, and every start; it knows nothing of how the service decides.
What breaks a rule is noted in `violations`.

*The moment of the last look*: a start is judged by what was in the queues when its tick's last look began (before the
first peek), and by the batches that had ended when its mark was written. So an ingestion that was put before the look
is respected, one that is put during it may be missed, and of two overlapping POSTs the order of the puts decides.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from ingest_core.models import Priority

LANES = tuple(Priority)
CLOCK_RATES = 0.001
"""Clocks of two hosts may differ by this share: a gap may be that much shorter than the interval."""


@dataclass(eq=False)
class Entry:
    """One POST. `position` is the moment at which its first message was put; without one it is not in line yet."""

    ids: Sequence[int]
    lane: Priority
    batch_count: int
    ingestion_id: str = ""
    position: int | None = None
    acknowledged: bool = False
    ended: list[str] = field(default_factory=list)
    finished_at: int | None = None
    marks: dict[int, int] = field(default_factory=dict)
    failures: dict[int, int] = field(default_factory=dict)
    delivered: set[int] = field(default_factory=set)

    @property
    def place(self) -> tuple[int, int]:
        """Where it stands in the queue of all queues."""
        return LANES.index(self.lane), self.position or 0


@dataclass(eq=False)
class Run:
    """One tick of one process: when its last look began and its mark was written, and the batch that it started."""

    process: str
    began_at: float = 0.0
    looking: bool = False
    looked: int = 0
    marked: int = 0
    started: tuple[Entry, int] | None = None
    closes_until: float = 0.0  # the source has asked it to wait until then


@dataclass(frozen=True, kw_only=True)
class Start:
    """The first fetch of a batch, on true time."""

    at: float
    process: str
    entry: Entry
    index: int


class Referee:
    """Keeps the model and compares."""

    def __init__(self, *, interval: float, batch_size: int, max_attempts: int) -> None:
        self.interval = interval
        self.batch_size = batch_size
        self.max_attempts = max_attempts
        self.violations: list[str] = []
        self.entries: list[Entry] = []
        self.starts: list[Start] = []
        self.closed_until = 0.0  # the source has asked to wait until then, at most
        self._paused_until = 0.0  # and a process has told the others
        self._by_id: dict[str, Entry] = {}
        self._by_item: dict[int, tuple[Entry, int]] = {}
        self._moments = 0
        self._open: list[Entry] = []
        self._items = 0

    def moment(self) -> int:
        """Effects are ordered by these."""
        self._moments += 1
        return self._moments

    def post(self, size: int, lane: Priority) -> Entry:
        """Somebody is about to POST so many IDs; no ID is used twice."""
        ids = range(self._items + 1, self._items + size + 1)
        self._items += size
        entry = Entry(ids, lane, -(-size // self.batch_size))
        for item_id in ids:
            self._by_item[item_id] = (entry, (item_id - ids[0]) // self.batch_size)
        self.entries.append(entry)
        return entry

    def inserted(self, entry: Entry, ingestion_id: str) -> None:
        """Its row is durable."""
        entry.ingestion_id = ingestion_id
        self._by_id[ingestion_id] = entry
        self._open.append(entry)

    def put(self, text: str, lane: Priority) -> None:
        """A message is in a queue."""
        entry = self._by_id.get(self._named(text))
        if entry is None:
            return
        if entry.lane is not lane:
            self.blame(f"{entry.ingestion_id} was put into {lane}")
        if entry.position is None:
            entry.position = self.moment()

    def deleted(self, text: str) -> None:
        """A message has left its queue for good."""
        entry = self._by_id.get(self._named(text))
        if entry and entry.finished_at is None:
            self.blame(f"the message of {entry.ingestion_id} was deleted before the ingestion had finished")

    def looks(self, run: Run) -> None:
        """A tick peeks into a lane; the first peek of several begins a look."""
        if not run.looking:
            run.looking, run.looked = True, self.moment()

    def paused(self, until: float) -> None:
        """A pause that the source has asked for holds for everybody."""
        self._paused_until = max(self._paused_until, until)

    def marked(self, ingestion_id: str, run: Run) -> None:
        """A tick has written its slot into the row."""
        entry = self._by_id[ingestion_id]
        run.marked = self.moment()
        entry.marks[len(entry.ended)] = entry.marks.get(len(entry.ended), 0) + 1

    def given_up(self, ingestion_id: str, run: Run) -> None:
        """A tick has taken its mark back, as it has started nothing."""
        entry = self._by_id[ingestion_id]
        if run.started:
            self.blame(f"{run.process} started {_name(entry)} and gave it up")
        entry.marks[len(entry.ended)] -= 1

    def ended(self, ingestion_id: str, index: int, status: str) -> None:
        """A batch's record was written."""
        entry = self._by_id[ingestion_id]
        if index != len(entry.ended):
            self.blame(f"batch {index} of {ingestion_id} ended when {len(entry.ended)} had ended")
            return
        if status == "completed" and index not in entry.delivered:
            self.blame(f"batch {index} of {ingestion_id} completed without its data")
        worn_out = entry.marks.get(index, 0) > 20  # MAX_STARTS of the dispatcher
        if status == "failed" and entry.failures.get(index, 0) < self.max_attempts and not worn_out:
            self.blame(f"batch {index} of {ingestion_id} failed after {entry.failures.get(index, 0)} failures")
        entry.ended.append(status)
        if len(entry.ended) == entry.batch_count:
            entry.finished_at = self.moment()

    def start(self, item_id: int, run: Run, at: float) -> tuple[Entry, int]:
        """A tick has sent its first fetch: the batch must be the model's next, and the last start an interval ago."""
        entry, index = run.started = self._by_item[item_id]
        if index != len(entry.ended):
            self.blame(f"{run.process} started batch {index} of {entry.ingestion_id}, not {len(entry.ended)}")
        for other in self._waiting(before=run.looked, at=run.marked):
            if other.place < entry.place:
                self.blame(f"{at:.3f}: {run.process} started {_name(entry)} batch {index} before {_name(other)}")
        if self.starts and at - self.starts[-1].at < self.interval * (1 - CLOCK_RATES):
            gap = at - self.starts[-1].at
            self.blame(f"{at:.3f}: {run.process} started {gap:.6f} s after {self.starts[-1].process}")
        if at < self._paused_until:
            self.blame(f"{at:.3f}: {run.process} started {self._paused_until - at:.3f} s before the end of a pause")
        if entry.position is None:
            self.blame(f"{run.process} started {entry.ingestion_id}, which was never put")
        self.starts.append(Start(at=at, process=run.process, entry=entry, index=index))
        return entry, index

    def waiting(self) -> list[Entry]:
        """What is in line and has not finished."""
        return list(self._waiting(before=self._moments + 1, at=self._moments))

    def gaps(self) -> list[float]:
        """The seconds between each two starts."""
        return [after.at - before.at for before, after in zip(self.starts, self.starts[1:], strict=False)]

    def check(self) -> None:
        """Fail if a rule was broken."""
        assert not self.violations, "\n".join(self.violations[:5])

    def blame(self, what: str) -> None:
        """Note what must not happen."""
        self.violations.append(what)

    def _waiting(self, *, before: int, at: int) -> Iterator[Entry]:
        """What had been put before one moment and was unfinished at another."""
        self._open = [e for e in self._open if e.finished_at is None or e.finished_at > self._moments - 1000]
        for entry in self._open:
            if entry.position is not None and entry.position < before:  # noqa: SIM102 # two questions
                if entry.finished_at is None or entry.finished_at > at:
                    yield entry

    def _named(self, text: str) -> str:
        try:
            return str(json.loads(text)["ingestion_id"])
        except (ValueError, TypeError, KeyError):
            return ""


def _name(entry: Entry) -> str:
    return f"{entry.lane} #{entry.position} ({entry.ingestion_id[:8]}, {len(entry.ended)}/{entry.batch_count})"
