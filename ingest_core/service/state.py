"""The line `service.state` that the service logs once a minute while it ticks: alerts and people read it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from ingest_core.dispatch.slots import estimated_throttle_seconds
from ingest_core.errors import NotFound, UnreadableRow
from ingest_core.models import Priority
from ingest_core.ports import Clock
from ingest_core.storage.backlog import OpenIngestion
from ingest_core.storage.gate_row import SWITCHES, StoredGate
from ingest_core.storage.stores import Stores

MAX_ROWS_READ = 32
"""At most this many ingestions of a lane are read to find the first that was never started."""


@dataclass(frozen=True, kw_only=True)
class ServiceState:
    """What an operator wants to know of the service, at one moment."""

    wait_seconds: dict[Priority, int]
    waiting_batches: int
    running: int
    poison_messages: int
    paused: tuple[str, ...]
    throttled_seconds: int

    def __str__(self) -> str:
        """The line's fields; `docs/operations.md` explains them."""
        waits = " ".join(f"{lane.lower()}_wait_seconds={self.wait_seconds[lane]}" for lane in Priority)
        return (
            f"{waits} waiting_batches={self.waiting_batches} running={self.running}"
            f" poison_messages={self.poison_messages} paused={','.join(self.paused) or 'none'}"
            f" throttled={self.throttled_seconds or 'none'}"
        )


async def read_state(stores: Stores, clock: Clock, *, running: int) -> ServiceState:
    """Read the state: the backlog, the gate, the poison queues' lengths and a few rows. Raises `StorageUnavailable`."""
    rows = await stores.backlog.everything()
    gate = await _gate(stores)
    now = clock.now()
    lanes = {lane: await _lane(stores, [row for row in rows if row.priority is lane], now) for lane in Priority}
    throttled = estimated_throttle_seconds(gate.gate, seconds_old=_age(gate, now)) if gate else 0.0
    return ServiceState(
        wait_seconds={lane: wait for lane, (wait, _) in lanes.items()},
        waiting_batches=sum(batches for _, batches in lanes.values()),
        running=running,
        poison_messages=sum((await stores.lanes.poison_counts()).values()),
        paused=tuple(switch for switch in map(str, SWITCHES) if gate and gate.pause(switch, now)),
        throttled_seconds=round(throttled),
    )


async def _gate(stores: Stores) -> StoredGate | None:
    try:
        return await stores.gate.read()
    except (NotFound, UnreadableRow):
        return None


def _age(gate: StoredGate, now: datetime) -> float:
    return max(0.0, (now - gate.written_at).total_seconds())


async def _lane(stores: Stores, rows: Sequence[OpenIngestion], now: datetime) -> tuple[int, int]:
    """How many seconds the oldest list of a lane that was never started has waited, and how many batches wait.

    Lists that were started are read, because only their own rows say what is left. From the first list that was never
    started on, the backlog rows are right.
    """
    batches = sum(row.batches_left for row in rows)
    for row in rows[:MAX_ROWS_READ]:
        try:
            ingestion = (await stores.ingestions.read(row.ingestion_id)).value
        except (NotFound, UnreadableRow):
            continue
        batches += ingestion.batches_to_start - row.batches_left
        if not ingestion.started_batches and not ingestion.has_ended:
            return max(0, round((now - row.queued_at).total_seconds())), batches
    return 0, batches
