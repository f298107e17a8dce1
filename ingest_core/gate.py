"""The rate gate: one table row, taken and given back by compare-and-set. The policy is in `slots`.

Invariant: two batches never start less than the interval apart, over hosts, restarts, slow ticks and skewed clocks.
"""

import logging
from dataclasses import replace
from datetime import datetime
from typing import cast
from uuid import uuid4

from ingest_core.errors import AlreadyExists, Changed, NotFound, StorageUnavailable
from ingest_core.ports import Clock, Entity, Stored, Table
from ingest_core.slots import (
    LONGEST_CALL_SECONDS,
    LONGEST_WAIT_SECONDS,
    START_BUDGET_SECONDS,
    Busy,
    GateRow,
    Incumbent,
    Observer,
    Take,
    View,
    Wait,
    decide,
    due,
)

log = logging.getLogger(__name__)

TRIES = 3
"""Of giving the gate back: after a refusal the others know of no pause, and start when the lease is over."""

PARTITION_KEY = ROW_KEY = "gate"


class RateGate:
    """This process's view of the gate row.

    A storage error, or a version that is not the expected one, makes the view unknown: the count starts again.
    """

    def __init__(self, table: Table, clock: Clock, *, interval: float, lease: float) -> None:
        self._table = table
        self._clock = clock
        self._interval = interval
        self._lease = lease
        self._view: View | None = None
        self._own = GateRow(slot=0, token="", hold_seconds=0)  # the last version that this process tried to write
        self._tokens: set[str] = set()  # of its versions that may be the present one
        self._free_at = 0.0
        self._asked_at = 0.0

    @property
    def slot(self) -> int:
        """The slot of the last take: the fencing token of the batch that it starts."""
        return self._own.slot

    async def look(self, *, lead: float) -> Take | Wait | Busy:
        """Bring the view up to date (the incumbent's is) and decide. Raises `StorageUnavailable`."""
        if not isinstance(self._view, Incumbent):
            self._view = await self._observe()
        return decide(self._view, now=self._clock.monotonic(), interval=self._interval, lead=lead)

    async def take(self) -> bool:
        """Take the next slot; False when another process was faster. Raises `StorageUnavailable`."""
        if self._view is None:
            return False
        self._free_at = due(self._view, interval=self._interval)
        self._asked_at = self._clock.monotonic()
        row = self._view.row
        return await self._write(replace(row, slot=row.slot + 1, hold_seconds=self._lease, pause=""))

    def may_start(self) -> bool:
        """Whether the start budget lasts: a stalled starter must give up while its lease keeps others away."""
        return self._clock.monotonic() - self._asked_at <= START_BUDGET_SECONDS

    def held(self) -> bool:
        """Whether the lease of the last take lasts for one more storage call, however slow, and a second to spare."""
        return self._clock.monotonic() - self._asked_at <= self._lease - LONGEST_CALL_SECONDS - 1.0

    def started(self) -> datetime:
        """A batch starts at this moment, which is returned on the wall clock."""
        # The wall clock first: a record is then never later than the start that the interval is counted from.
        at, moment = self._clock.now(), self._clock.monotonic()
        self._close_until(moment + self._interval)
        self._own = replace(self._own, started_at=at.isoformat(), pause="")
        return at

    def pause(self, seconds: float, reason: str) -> None:
        """Nobody may start for this long, counted from now."""
        self._close_until(max(self._free_at, self._clock.monotonic() + seconds))
        self._own = replace(self._own, pause=reason)

    async def renew_pause(self) -> None:
        """Write down how much of a pause is left, every ten seconds or so. Raises `StorageUnavailable`.

        Whoever starts anew counts from the version that it finds: without this, a restart would begin an hour's
        `Retry-After` again. And an outage may have kept `give_back` from telling anybody of the pause.
        """
        left = self._free_at - self._clock.monotonic()
        if not isinstance(self._view, Incumbent) or left <= self._interval:
            return
        if not left <= self._view.row.hold_seconds <= left + LONGEST_WAIT_SECONDS:
            await self._write(replace(self._own, hold_seconds=left))

    def outrun(self, slot: int) -> None:
        """Continue behind a slot that this gate has not granted yet: storage has lost the take."""
        self._own = replace(self._own, slot=max(self._own.slot, slot))

    async def give_back(self, *, started: bool) -> None:
        """Tell the others how long the gate stays closed.

        That is what is left until it is free; or a whole interval if nothing was started, as they cannot know how long
        that took. Raises `StorageUnavailable`.
        """
        left = max(0.0, self._free_at - self._clock.monotonic())
        row = replace(self._own, hold_seconds=left if started else max(left, self._interval))
        for _ in range(TRIES):
            if await self._write(row):
                return
            if not isinstance(self._view, Incumbent):
                log.info("gate.lost slot=%d: another process has taken the gate since", row.slot)
                return
        raise StorageUnavailable("storage keeps refusing to give the gate back; others wait for the lease to end")

    def _close_until(self, moment: float) -> None:
        self._free_at = moment
        if isinstance(self._view, Incumbent):
            self._view = replace(self._view, free_at=moment)

    async def _observe(self) -> View:
        before, self._view = self._view, None
        try:
            stored = await self._table.get(PARTITION_KEY, ROW_KEY)
        except NotFound:
            return await self._create()
        now = self._clock.monotonic()
        row = decode(stored)
        if row.token in self._tokens:  # ours: a write whose answer was lost, or the one before it
            self._own = replace(row, started_at=self._own.started_at, pause=self._own.pause)  # perhaps not yet written
            return Incumbent(row=self._own, etag=stored.etag, free_at=self._free_at)
        if isinstance(before, Observer) and before.etag == stored.etag:
            return before
        return Observer(row=row, etag=stored.etag, first_seen=now)

    async def _create(self) -> View:
        """A missing row counts as taken at this moment: whoever lost it may have started just now. A pause goes on."""
        hold = max(self._interval, self._free_at - self._clock.monotonic())
        row = replace(self._own, slot=max(1, self._own.slot), token=uuid4().hex, hold_seconds=hold)
        try:
            etag = await self._table.insert(_encode(row))
        except AlreadyExists:
            return await self._observe()
        self._own, self._tokens = row, {row.token}
        self._free_at = self._clock.monotonic() + hold
        return Incumbent(row=row, etag=etag, free_at=self._free_at)

    async def _write(self, row: GateRow) -> bool:
        """Compare and set; False when the present version is not the expected one."""
        if self._view is None:
            return False
        expected, self._view = self._view.etag, None
        self._own = written = replace(row, token=uuid4().hex)
        self._tokens.add(written.token)
        try:
            etag = await self._table.merge(_encode(written), etag=expected)
        except (Changed, NotFound, StorageUnavailable):
            self._view = await self._observe()
            return self._view.row.token == written.token
        self._tokens = {written.token}
        self._view = Incumbent(row=written, etag=etag, free_at=self._free_at)
        return True


def _encode(row: GateRow) -> Entity:
    return {
        "PartitionKey": PARTITION_KEY,
        "RowKey": ROW_KEY,
        "slot": row.slot,
        "token": row.token,
        "hold_seconds": float(row.hold_seconds),
        "started_at": row.started_at,
        "pause": row.pause,
    }


def decode(stored: Stored) -> GateRow:
    """The version of the gate that the table holds."""
    entity = stored.entity
    return GateRow(
        slot=cast("int", entity["slot"]),
        token=cast("str", entity["token"]),
        hold_seconds=float(cast("float", entity["hold_seconds"])),
        started_at=cast("str", entity["started_at"]),
        pause=cast("str", entity["pause"]),
    )
