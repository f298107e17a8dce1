"""Gate time: the policy by which slots are granted, free of storage and of clocks.

The gate is one table row. It holds a counter of slots, a token that is fresh for every write, an *age* and a *due* age.
No wall clock is ever compared, and no monotonic clock with another process's:

- *Age* is a lower bound of the seconds since the gate was made. Each write adds to the age of the version that it
  replaces what its writer has measured since it wrote, or first saw, that version, times 0.998.
- *Due* is the age from which anybody but the owner may take the gate. The *owner* is the process that wrote the present
  version. It knows its own last start on its own clock, so it needs no margin.

    owner     take ──▶ send ◀──── interval ────▶ send …      (no read between two slots)
    others         see version n ◀── (due - age) / 0.998 ──▶ take, if version n still stands (ETag)

Leases, back-offs and throttling are ages too. They outlive every process, and a fresh process knows at its first look
what a dead one has left behind.

Assumed: monotonic clocks run at the same rate within 0.1 %; no process is suspended between its last look at the clock
and the send.
"""

from dataclasses import dataclass, replace

from ingest_core.ports import CALL_SECONDS
from ingest_core.storage.gate_row import GateRow, StoredGate

RATE = 0.998
"""What a measured second is worth in gate time: clocks that run 0.1 % fast or slow never make the gate too old."""

START_BUDGET_SECONDS = 1.0
"""A starter that reaches the send later than this after it sent the take gives up."""

SWEEP_SECONDS = 5.0
"""How much longer a take keeps others out if its owner is going to remove messages from the fronts."""

LONGEST_LEAD_SECONDS = 0.4
"""A start is prepared at most this long before it is due, well within the start budget."""

SWEEP_CALLS_SECONDS = SWEEP_SECONDS - CALL_SECONDS - LONGEST_LEAD_SECONDS
"""The last removal begins within this time after the start: however slow it is, it is over when a successor looks."""

LONGEST_WAIT_SECONDS = 10.0
"""A tick waits at most this long for its first slot; a later tick looks again."""

NOTE_SECONDS = 2.0
"""While something waits for an age, the owner writes the age down this often."""


@dataclass(frozen=True, kw_only=True)
class View:
    """A version of the gate as this process sees it: written or first seen at `seen_at` of its own monotonic clock."""

    stored: StoredGate
    seen_at: float
    is_owner: bool

    @property
    def row(self) -> GateRow:
        """The version itself."""
        return self.stored.gate

    def age(self, now: float) -> float:
        """The gate's age at a moment of this process's clock."""
        return self.row.age + RATE * max(0.0, now - self.seen_at)

    def due_for_all(self) -> float:
        """The moment of this process's clock from which anybody may take the gate."""
        return self.seen_at + (self.row.due - self.row.age) / RATE


def due_after_take(age: float, *, interval: float, sweeps: bool) -> float:
    """A successor keeps its distance from whatever the taker starts within its budget, and removes."""
    return age + START_BUDGET_SECONDS + interval + (SWEEP_SECONDS if sweeps else 0.0)


def due_after_throttle(row: GateRow, age: float, *, interval: float, wait: float) -> float:
    """The gate stays closed for the wait, and for a start that may be under way; a throttle never opens it earlier."""
    return max(row.due, age + max(wait, interval + START_BUDGET_SECONDS))


def is_throttled(row: GateRow, age: float, *, interval: float) -> bool:
    """Whether the gate is closed for longer than any take closes it."""
    return row.due - age > START_BUDGET_SECONDS + interval + SWEEP_SECONDS


@dataclass(frozen=True, kw_only=True)
class Reasons:
    """What the owner writes beside the numbers, for people."""

    started_at: str = ""
    throttled_reason: str = ""
    down_since: str = ""
    trouble: str = ""

    def on(self, row: GateRow) -> GateRow:
        """The same version of the gate with these reasons."""
        return replace(
            row,
            started_at=self.started_at,
            throttled_reason=self.throttled_reason,
            down_since=self.down_since,
            trouble=self.trouble,
        )


def estimated_throttle_seconds(row: GateRow, *, seconds_old: float) -> float:
    """For how much longer the API's wait lasts, for people: `seconds_old` comes from wall clocks. 0 if it is over.

    Whoever starts a batch, or sweeps, removes the reason.
    """
    left = row.due - row.age - seconds_old
    return left if row.throttled_reason and left > 0 else 0.0
