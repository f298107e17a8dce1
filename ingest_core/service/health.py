"""Whether the service does its job: storage answers, and what waits is started."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from ingest_core.models import Priority
from ingest_core.ports import Clock, Message
from ingest_core.service.gate_view import GateView, read_gate_view
from ingest_core.storage.stores import Stores

PATIENCE_SECONDS = 60.0


@dataclass(frozen=True, kw_only=True)
class Health:
    """The health of the service. `stalled_reason` says why nothing moves, and is empty while all is well.

    `denied_calls` are the calls that storage does not permit, and `fronts` the front messages of each lane, at most 32.
    """

    gate: GateView
    stalled_reason: str
    denied_calls: Sequence[str]
    fronts: Mapping[Priority, Sequence[Message]]

    @property
    def waiting(self) -> dict[str, int]:
        """How many of each lane's front messages stand for different ingestions; 32 may stand for more."""
        return {lane.value: len({message.text for message in front}) for lane, front in self.fronts.items()}


class HealthCheck:
    """Looks at the gate and at the fronts of the lanes: four storage calls, however much waits."""

    def __init__(self, stores: Stores, *, clock: Clock, interval: float, lease: float) -> None:
        self._gate_table = stores.gate
        self._lanes = stores.lanes
        self._denied_calls = stores.denied_calls
        self._clock = clock
        self._interval = interval
        self._patience = timedelta(seconds=interval + lease + PATIENCE_SECONDS)
        self._started_at = clock.now()

    async def look(self) -> Health:
        """Check the service. Raises `StorageUnavailable`.

        It has stalled if work has waited, and no process has written the gate, for longer than interval + lease + a
        minute. What waits in a paused lane does not count, nor does a wait that the external API has asked for. Waiting
        counts from this process's own start: after a restart with a backlog, the first batch has time to start.
        """
        now = self._clock.now()
        gate, fronts = await asyncio.gather(
            read_gate_view(self._gate_table, now=now, interval=self._interval),
            asyncio.gather(*(self._lanes.peek(lane) for lane in Priority)),
        )
        by_lane = dict(zip(Priority, fronts, strict=True))
        reason = self._unwritten_reason(gate, now) or self._stalled_reason(gate, by_lane, now)
        return Health(gate=gate, fronts=by_lane, stalled_reason=reason, denied_calls=self._denied_calls())

    def _unwritten_reason(self, gate: GateView, now: datetime) -> str:
        """Why batches do not end. A dead process may have left the text in the row, so it counts only for a time."""
        if not gate.trouble or gate.written_at is None or now - gate.written_at > self._patience:
            return ""
        return "The ends of batches cannot be written to storage: the last lines of the log say why."

    def _stalled_reason(self, gate: GateView, fronts: Mapping[Priority, Sequence[Message]], now: datetime) -> str:
        counted = [message for lane, front in fronts.items() if not gate.is_paused(lane) for message in front]
        if not counted or gate.throttle:
            return ""
        # A process that waits for a back-off or a lease writes the gate too, so a write is a sign of life like a start.
        signs_of_life = [self._started_at, min(message.inserted_on for message in counted)]
        signs_of_life += filter(None, (gate.last_start_at, gate.written_at, gate.throttled_until))
        if now - max(signs_of_life) <= self._patience:
            return ""
        return (
            f"Work has waited since {max(signs_of_life).isoformat()} and nothing has started: see that the dispatch "
            "timer runs, and what its last lines in the log say."
        )
