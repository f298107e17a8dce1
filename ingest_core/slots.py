"""When a slot is due: the policy of the rate gate, free of storage and of clocks.

A slot is granted to one holder, never early. The gate is one table row whose every version says for how many seconds
nobody but its writer may take it (`hold_seconds`). No wall clock is compared, over processes or at all:

- the *incumbent*, the process that wrote the present version, knows from its own last start when it is free again;
- any other process counts from the moment it *first saw* the version, which is never before it was written.

    incumbent   take ──▶ start ◀──── interval ────▶ start …        (no read, no waiting beyond the interval)
    observer              saw version n ◀── max(hold, interval) ──▶ take, if version n still stands (ETag)

Assumed: monotonic clocks of different hosts run at the same rate within 0.1 %, and no process is suspended between its
last check of the clock and the send.
"""

from dataclasses import dataclass

START_BUDGET_SECONDS = 1.0
"""A starter that reaches the send later than this after asking for its slot gives up: its lease may be ending."""

LONGEST_CALL_SECONDS = 4.0
"""A storage call takes effect within this time, or counts as lost."""

LONGEST_WAIT_SECONDS = 10.0
"""A tick waits at most this long for a slot; a later tick looks again."""


@dataclass(frozen=True, kw_only=True)
class GateRow:
    """One version of the gate. `token` is fresh for every write, so that a writer whose answer was lost knows its own.

    `started_at` and `pause` (why the gate is held beyond the interval) are for people; nothing is decided by them.
    """

    slot: int
    token: str
    hold_seconds: float
    started_at: str = ""
    pause: str = ""


@dataclass(frozen=True, kw_only=True)
class Incumbent:
    """This process wrote the present version and may start from `free_at` on (own monotonic clock)."""

    row: GateRow
    etag: str
    free_at: float


@dataclass(frozen=True, kw_only=True)
class Observer:
    """Another process wrote the present version; `first_seen` is when its reading was in hand (own monotonic clock)."""

    row: GateRow
    etag: str
    first_seen: float


View = Incumbent | Observer


@dataclass(frozen=True)
class Take:
    """Prepare now, and start at `due` (own monotonic clock), not before."""

    due: float


@dataclass(frozen=True)
class Wait:
    """Look again after this many seconds."""

    seconds: float


@dataclass(frozen=True)
class Busy:
    """The slot is further off than a tick waits."""


def due(view: View, *, interval: float) -> float:
    """The moment from which this process may start a batch."""
    match view:
        case Incumbent():
            return view.free_at
        case Observer():
            return view.first_seen + max(view.row.hold_seconds, interval)


def decide(view: View, *, now: float, interval: float, lead: float) -> Take | Wait | Busy:
    """What a tick does that looks `now`; `lead` is the time that preparing a start takes."""
    at = due(view, interval=interval)
    if at - now > LONGEST_WAIT_SECONDS:
        return Busy()
    if at - lead > now:
        return Wait(at - lead - now)
    return Take(at)
