"""The gate as people see it: when the last batch started, when the next one may, and what delays the lanes.

Its times are wall-clock times, computed from storage's own time stamp of the row. No decision uses them: the
dispatcher counts in gate time.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import uuid4

from ingest_core.dispatch.slots import due_after_take, estimated_throttle_seconds
from ingest_core.errors import NotFound, UnreadableRow
from ingest_core.models import Priority
from ingest_core.storage.gate_row import EVERYTHING, GateRow, GateTable, Pause, StoredGate


@dataclass(frozen=True, kw_only=True)
class Throttle:
    """The external API has asked to wait, or cannot be reached."""

    until: datetime
    reason: str


@dataclass(frozen=True, kw_only=True)
class GateView:
    """The gate at a moment. `written_at` is the latest write, by a process that dispatches or by a pause."""

    next_slot_at: datetime
    #: The gate's approximate age now. Leases and back-offs end at ages.
    age: float = 0.0
    last_start_at: datetime | None = None
    written_at: datetime | None = None
    throttle: Throttle | None = None
    #: When the latest throttle ends or has ended, if nothing has started since.
    throttled_until: datetime | None = None
    #: Since when the external API is taken to be down; and what else is wrong. For people.
    down_since: str = ""
    trouble: str = ""
    #: How many slots were granted since the gate was made.
    slots_granted: int = 0
    #: The pauses that are not over, by switch: a lane, or ALL.
    pauses: Mapping[str, Pause] = field(default_factory=dict)

    @property
    def paused_switches(self) -> list[str]:
        """The switches that are set, ALL first."""
        return [switch for switch in (EVERYTHING, *Priority) if switch in self.pauses]

    def is_paused(self, lane: Priority) -> bool:
        """Whether no batch of the lane may start."""
        return EVERYTHING in self.pauses or lane in self.pauses


async def read_gate_view(table: GateTable, *, now: datetime, interval: float) -> GateView:
    """Read the row and view it at the time `now`. Raises `StorageUnavailable`."""
    try:
        return _view(await table.read(), now, interval)
    except (NotFound, UnreadableRow):  # nothing was ever started, or the dispatcher will make the row anew
        return GateView(next_slot_at=now)


def first_gate_row(interval: float) -> GateRow:
    """The gate that a pause makes if there is none yet. Like any new gate, it counts as taken."""
    return GateRow(slot=0, token=uuid4().hex, age=0.0, due=due_after_take(0.0, interval=interval, sweeps=False))


def _view(stored: StoredGate, now: datetime, interval: float) -> GateView:
    row = stored.gate
    seconds_old = max(0.0, (now - stored.written_at).total_seconds())
    due_at = stored.written_at + timedelta(seconds=row.due - row.age)
    last_start_at = _start(row.started_at, now)
    is_closed = estimated_throttle_seconds(row, seconds_old=seconds_old) > 0
    slots = [now]
    if last_start_at:
        slots.append(last_start_at + timedelta(seconds=interval))
    if row.throttled_reason or last_start_at is None:
        slots.append(due_at)
    return GateView(
        next_slot_at=max(slots),
        age=row.age + seconds_old,
        last_start_at=last_start_at,
        written_at=stored.written_at,
        throttled_until=due_at if row.throttled_reason else None,
        throttle=Throttle(until=due_at, reason=row.throttled_reason) if is_closed else None,
        down_since=row.down_since,
        slots_granted=row.slot,
        trouble=row.trouble,
        pauses={switch: pause for switch in stored.pauses if (pause := stored.pause(switch, now))},
    )


def _start(text: str, now: datetime) -> datetime | None:
    """The latest start as the gate's owner wrote it; None if it cannot be read, or is far in the future."""
    try:
        moment = datetime.fromisoformat(text)
        return moment if moment < now + timedelta(days=1) else None
    except (ValueError, TypeError):  # no time, or a time without an offset
        return None
