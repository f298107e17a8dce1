"""Gate time: the policy by which slots are granted. It makes no storage call and reads no clock.

The gate is one table row. It has a counter of slots, a token that is fresh for every write, an *age* and a *due* age.
Wall clocks are never compared, and monotonic clocks never with those of another process:

- *Age* is a lower bound of the seconds since the gate was made. Each writer measures the seconds since it wrote, or
  first saw, the version that it replaces. It multiplies them by 0.998 and adds them to the age of that version.
- *Due* is the age from which any process may take the gate, except the owner. The *owner* is the process that wrote the
  present version. It knows its own last start on its own clock, so it needs no margin.

    owner     take ──▶ send ◀──── interval ────▶ send …      (no read between two slots)
    others         see version n ◀── (due - age) / 0.998 ──▶ take, if version n still stands (ETag)

The ends of leases, back-offs and throttling are ages too. So they outlive every process, and a new process knows at its
first look what a dead process has left behind.

This assumes that monotonic clocks run at the same rate within 0.1 %, and that no process is suspended between its last
look at the clock and the send.
"""

from dataclasses import dataclass, replace

from ingest_core.ports import CALL_SECONDS
from ingest_core.storage.gate_row import GateRow, StoredGate

RATE = 0.998
"""Gate time per measured second. It is below 1 so that the age stays a lower bound if clocks run 0.1 % fast or slow."""

START_BUDGET_SECONDS = 1.0
"""If a process reaches the send of a batch later than this after it sent the take, it does not send the batch."""

SWEEP_SECONDS = 5.0
"""How much longer a take keeps others out if its owner will remove messages from the fronts."""

LONGEST_LEAD_SECONDS = 0.4
"""The preparation of a start begins at most this long before the start is due, well within the start budget."""

SWEEP_CALLS_SECONDS = SWEEP_SECONDS - CALL_SECONDS - LONGEST_LEAD_SECONDS
"""The part of the extra time in which a removal may begin. The rest is for that call and a successor's early look."""

LONGEST_WAIT_SECONDS = 10.0
"""If nothing runs and the first slot is due later than this, a tick ends, and a later tick looks again."""

NOTE_SECONDS = 2.0
"""While a batch or a throttle waits for an age, the owner writes the age at most this often."""


@dataclass(frozen=True, kw_only=True)
class View:
    """A version of the gate. This process wrote or first saw it at `seen_at` on its own monotonic clock."""

    stored: StoredGate
    seen_at: float
    is_owner: bool

    @property
    def row(self) -> GateRow:
        """The gate's row in this version."""
        return self.stored.gate

    def age(self, now: float) -> float:
        """The gate's age at a moment of this process's clock."""
        return self.row.age + RATE * max(0.0, now - self.seen_at)

    def due_for_all(self) -> float:
        """The moment of this process's clock from which anybody may take the gate."""
        return self.seen_at + (self.row.due - self.row.age) / RATE


def due_after_take(age: float, *, interval: float, sweeps: bool) -> float:
    """The due age after a take: the interval after the taker's latest possible start, and time for its sweep."""
    return age + START_BUDGET_SECONDS + interval + (SWEEP_SECONDS if sweeps else 0.0)


def due_after_throttle(row: GateRow, age: float, *, interval: float, wait: float) -> float:
    """The due age after a throttle: after the wait and a start that may be under way, and not earlier than before."""
    return max(row.due, age + max(wait, interval + START_BUDGET_SECONDS))


def is_throttled(row: GateRow, age: float, *, interval: float) -> bool:
    """Whether the gate is due later than any take can set, so that it must be throttled."""
    return row.due - age > START_BUDGET_SECONDS + interval + SWEEP_SECONDS


@dataclass(frozen=True, kw_only=True)
class Reasons:
    """The texts in the gate's row that are for people."""

    started_at: str = ""
    throttled_reason: str = ""
    down_since: str = ""
    trouble: str = ""

    def on(self, row: GateRow) -> GateRow:
        """The gate's row with these texts."""
        return replace(
            row,
            started_at=self.started_at,
            throttled_reason=self.throttled_reason,
            down_since=self.down_since,
            trouble=self.trouble,
        )


def estimated_throttle_seconds(row: GateRow, *, seconds_old: float) -> float:
    """How much longer the throttle lasts, or 0. It is for people only, because `seconds_old` comes from wall clocks.

    A row without a `throttled_reason` is not throttled: a start or a sweep after the throttle removes the reason.
    """
    left = row.due - row.age - seconds_old
    return left if row.throttled_reason and left > 0 else 0.0
