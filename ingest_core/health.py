"""Whether the service does its job: storage answers, and work that waits is started."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from ingest_core.errors import NotFound
from ingest_core.gate import PARTITION_KEY, ROW_KEY, decode
from ingest_core.lanes import Lanes
from ingest_core.models import Priority
from ingest_core.ports import Clock, Message, Table
from ingest_core.slots import GateRow

PATIENCE_SECONDS = 60.0


@dataclass(frozen=True, kw_only=True)
class Health:
    """How the service stands. `stalled` says why nothing moves, or is empty; so does `paused`, for a while.

    `fronts` are the front messages of each lane, at most 32.
    """

    stalled: str
    fronts: Mapping[Priority, Sequence[Message]]
    last_start: str
    paused: str = ""
    paused_until: datetime | None = None

    @property
    def waiting(self) -> dict[str, int]:
        """How many ingestions wait in each lane, the running one included; a repeated message counts once."""
        return {lane.value: len({message.text for message in front}) for lane, front in self.fronts.items()}


@dataclass(frozen=True, kw_only=True)
class _Gate:
    row: GateRow
    open_at: datetime | None = None


async def check_health(*, dispatch: Table, lanes: Lanes, clock: Clock, interval: float, lease: float) -> Health:
    """Look at the gate and at the fronts of the lanes. Raises `StorageUnavailable`.

    Stalled means: work has waited, and nothing has started, for longer than interval + lease + a minute, not counting a
    pause that the external API has caused.
    """
    gate = await _read_gate(dispatch)
    fronts = await asyncio.gather(*(lanes.peek(lane) for lane in Priority))
    waiting_since = min((message.inserted_on for front in fronts for message in front), default=None)
    now = clock.now()
    paused_until = gate.open_at if gate.open_at and now < gate.open_at else None
    return Health(
        stalled=_stalled(gate, waiting_since, now, timedelta(seconds=interval + lease + PATIENCE_SECONDS)),
        fronts=dict(zip(Priority, fronts, strict=True)),
        last_start=gate.row.started_at,
        paused=gate.row.pause if paused_until else "",
        paused_until=paused_until,
    )


async def _read_gate(dispatch: Table) -> _Gate:
    try:
        stored = await dispatch.get(PARTITION_KEY, ROW_KEY)
    except NotFound:
        return _Gate(row=GateRow(slot=0, token="", hold_seconds=0))
    row = decode(stored)
    return _Gate(row=row, open_at=stored.written_at + timedelta(seconds=row.hold_seconds) if row.pause else None)


def _stalled(gate: _Gate, waiting_since: datetime | None, now: datetime, patience: timedelta) -> str:
    if waiting_since is None:
        return ""
    last_start = datetime.fromisoformat(gate.row.started_at) if gate.row.started_at else waiting_since
    idle_since = max(filter(None, (waiting_since, last_start, gate.open_at)))
    if now - idle_since <= patience:
        return ""
    return (
        f"Work has waited since {idle_since.isoformat()} and nothing has started: see that the dispatch timer runs, "
        "and what its last lines in the log say."
    )
