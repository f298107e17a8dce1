"""The gate's row in the table `dispatch`: how the gate and the pauses of the lanes become properties, and back.

The gate's properties are written under the row's ETag, by processes that dispatch. The properties of the pauses are
merged without a condition, by whoever pauses a lane. So neither write overwrites the other.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Self

from pydantic import Field, model_validator

from ingest_core.errors import AlreadyExists, NotFound, UnreadableRow
from ingest_core.models import Priority
from ingest_core.ports import Entity, Stored, Table
from ingest_core.storage.row_models import (
    MAX_AGE_SECONDS,
    MAX_CLOSED_SECONDS,
    Count,
    MaybeMoment,
    Moment,
    Row,
    checked,
)

PARTITION_KEY = "gate"
ROW_KEY = "gate-2"
"""The first format used another key, and its row has another meaning."""

EVERYTHING = "ALL"
"""The fourth switch: it stops every lane, and leaves the lanes' own pauses alone."""

SWITCHES = (EVERYTHING, *Priority)


@dataclass(frozen=True, kw_only=True)
class Pause:
    """A person has paused a lane. `until` is compared with the wall clock of each host."""

    since: datetime
    reason: str = ""
    until: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class GateRow:
    """One version of the gate; ages are seconds of gate time.

    `age` is a lower bound of the time since the gate was made, `due` the age from which anybody may take it. The
    properties after these are for people, and no decision uses them.
    """

    slot: int
    token: str
    age: float
    due: float
    started_at: str = ""
    throttled_reason: str = ""
    down_since: str = ""
    trouble: str = ""


@dataclass(frozen=True, kw_only=True)
class StoredGate:
    """The row as storage holds it: a version of the gate, and the pauses by switch (a lane, or ALL)."""

    gate: GateRow
    etag: str
    written_at: datetime
    pauses: Mapping[str, Pause] = field(default_factory=dict)

    def is_paused(self, lane: Priority, now: datetime) -> bool:
        """Whether no batch of the lane may start."""
        return any(name in self.pauses and not _is_over(self.pauses[name], now) for name in (EVERYTHING, lane))

    def pause(self, switch: str, now: datetime) -> Pause | None:
        """The pause that a switch is set to, if it is not over."""
        pause = self.pauses.get(switch)
        return None if pause is None or _is_over(pause, now) else pause


class GateTable:
    """The only reader and writer of the gate's row. Every method raises `StorageUnavailable`."""

    def __init__(self, table: Table) -> None:
        self._table = table

    async def read(self) -> StoredGate:
        """Read the row. Raises `NotFound`, and `UnreadableRow` if the row has to be made anew."""
        stored = await self._table.get(PARTITION_KEY, ROW_KEY)
        row = checked(_GateProperties, stored.entity)
        gate = GateRow(**row.model_dump())
        return StoredGate(gate=gate, etag=stored.etag, written_at=stored.written_at, pauses=_pauses(stored))

    async def create(self, gate: GateRow) -> str:
        """Make a row that is missing; return its ETag. Raises `AlreadyExists`."""
        return await self._table.insert(_encode(gate))

    async def make_anew(self, gate: GateRow) -> None:
        """Replace a row that cannot be read. Pauses that can be read stay."""
        stored = await self._table.get(PARTITION_KEY, ROW_KEY)
        kept = {_property(switch): _encode_pause(pause) for switch, pause in _pauses(stored).items()}
        await self._table.replace({**_encode(gate), **kept}, etag=stored.etag)

    async def write(self, gate: GateRow, etag: str) -> str:
        """Replace the version with this ETag, and return the new ETag. Raises `Changed`, `NotFound`."""
        return await self._table.merge(_encode(gate), etag=etag)

    async def set_pause(self, switch: str, pause: Pause | None, *, gate: GateRow) -> None:
        """Pause or resume a lane. If the row is missing, it is made with `gate`."""
        text = _encode_pause(pause) if pause else ""
        properties = {"PartitionKey": PARTITION_KEY, "RowKey": ROW_KEY, _property(switch): text}
        try:
            await self._table.merge(properties, etag=None)
        except NotFound:
            try:
                await self._table.insert({**_encode(gate), **properties})
            except AlreadyExists:
                await self._table.merge(properties, etag=None)


class _GateProperties(Row):
    slot: Count
    token: Annotated[str, Field(min_length=1)]
    age: Annotated[float, Field(ge=0, le=10 * MAX_AGE_SECONDS)]  # far above any mark's age, to which it may be raised
    due: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    started_at: str = ""
    throttled_reason: str = ""
    down_since: str = ""
    trouble: str = ""

    @model_validator(mode="after")
    def _opens_again(self) -> Self:
        if self.due > self.age + MAX_CLOSED_SECONDS:
            raise ValueError("nothing could start for longer than any wait that can be set")
        return self


class _PauseProperties(Row):
    since: Moment
    reason: str = ""
    until: MaybeMoment = None


def _is_over(pause: Pause, now: datetime) -> bool:
    return pause.until is not None and pause.until <= now


def _property(switch: str) -> str:
    return f"paused_{switch.lower()}"


def _encode(gate: GateRow) -> Entity:
    return {
        "PartitionKey": PARTITION_KEY,
        "RowKey": ROW_KEY,
        "slot": gate.slot,
        "token": gate.token,
        "age": float(gate.age),
        "due": float(gate.due),
        "started_at": gate.started_at,
        "throttled_reason": gate.throttled_reason,
        "down_since": gate.down_since,
        "trouble": gate.trouble,
    }


def _encode_pause(pause: Pause) -> str:
    until = pause.until.isoformat() if pause.until else ""
    return json.dumps({"since": pause.since.isoformat(), "reason": pause.reason, "until": until})


def _pauses(stored: Stored) -> dict[str, Pause]:
    """The pauses that can be read. A pause that cannot be read does not count."""
    pauses = {}
    for switch in SWITCHES:
        text = stored.entity.get(_property(switch), "")
        if not text:
            continue
        try:
            row = checked(_PauseProperties, json.loads(str(text)))
        except (ValueError, TypeError, AttributeError, RecursionError, UnreadableRow):
            continue
        pauses[str(switch)] = Pause(since=row.since, reason=row.reason, until=row.until)
    return pauses
