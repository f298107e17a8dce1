"""One process's view of the gate. It takes, releases, throttles and notes by compare-and-set; `slots` has the policy.

Invariant: two batches never start less than the interval apart, over hosts, restarts, slow ticks and skewed clocks.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import uuid4

from ingest_core.dispatch.slots import (
    NOTE_SECONDS,
    START_BUDGET_SECONDS,
    Reasons,
    View,
    due_after_take,
    due_after_throttle,
    is_throttled,
)
from ingest_core.errors import AlreadyExists, Changed, NotFound, UnreadableRow
from ingest_core.models import Priority
from ingest_core.ports import Clock
from ingest_core.storage.changes import Version, write_change
from ingest_core.storage.gate_row import GateRow, GateTable, StoredGate

log = logging.getLogger(__name__)


class Gate:
    """This process's view of the gate's row, and its writes. Every coroutine raises `StorageUnavailable`."""

    def __init__(self, table: GateTable, clock: Clock, *, interval: float) -> None:
        self._table = table
        self._clock = clock
        self._interval = interval
        self._view: View | None = None
        self._tokens: set[str] = set()  # tokens of our own writes that may be in storage, because an answer can be lost
        self._free_at = 0.0  # own clock: when the owner may start next
        self._taken_at = 0.0  # own clock: when the last take was sent
        self._lock = asyncio.Lock()  # one write at a time
        self._reasons = Reasons()
        self._unwritten_throttle = False
        self.has_unwritten_reasons = False
        """Whether there are reasons for people that are not in the row yet. `note` writes them."""

    # Answers from the view, without a storage call ---------------------------------------------------------------

    @property
    def view(self) -> View:
        """The latest version that this process has seen. Call `look` first."""
        if self._view is None:
            raise RuntimeError("the gate has not been looked at")
        return self._view

    @property
    def token(self) -> str:
        """The token of the present version. After a take, it fences the batch that the take starts."""
        return self.view.row.token

    def age(self) -> float:
        """The gate's age now, in seconds of gate time."""
        return self.view.age(self._clock.monotonic())

    def due_at(self) -> float:
        """The moment from which this process may start a batch (own monotonic clock)."""
        view = self.view
        return self._free_at if view.is_owner else max(view.due_for_all(), self._throttled_here())

    @property
    def has_unwritten_throttle(self) -> bool:
        """Whether a throttle is not in the row yet, so that other processes do not know of it."""
        return self._unwritten_throttle

    def is_throttled(self) -> bool:
        """Whether the gate is due later than any take can set, so that it must be throttled."""
        return is_throttled(self.view.row, self.age(), interval=self._interval)

    def is_paused(self, lane: Priority) -> bool:
        """Whether a person has paused the lane, or every lane."""
        return self.view.stored.is_paused(lane, self._clock.now())

    def has_start_budget(self) -> bool:
        """Whether a batch that starts now is within the start budget of the last take."""
        return self._clock.monotonic() - self._taken_at <= START_BUDGET_SECONDS

    def excludes_others_until(self) -> float:
        """Until when the last take keeps others out, without the extra time for a sweep (own monotonic clock)."""
        return self._taken_at + START_BUDGET_SECONDS + self._interval

    def record_start(self) -> datetime:
        """Count the interval from now on; return the present time of the wall clock."""
        # The wall clock is read first, so that the recorded time is never later than the start.
        at = self._clock.now()
        self._free_at = self._clock.monotonic() + self._interval
        self._reasons = replace(self._reasons, started_at=at.isoformat(), throttled_reason="")
        return at

    def set_reasons(self, *, down_since: str | None = None, trouble: str | None = None) -> None:
        """Set the reasons that the next write shows to people."""
        before = self._reasons
        if down_since is not None:
            self._reasons = replace(self._reasons, down_since=down_since)
        if trouble is not None:
            self._reasons = replace(self._reasons, trouble=trouble)
        self.has_unwritten_reasons = self.has_unwritten_reasons or self._reasons != before

    def throttle_until(self, moment: float, reason: str) -> None:
        """Start nothing before this moment (own monotonic clock). `write_throttle` makes it known to others."""
        self._unwritten_throttle = True
        self._free_at = max(self._free_at, moment)
        self._reasons = replace(self._reasons, throttled_reason=reason)

    # Storage calls ----------------------------------------------------------------------------------------------

    async def look(self) -> View:
        """Read the row, unless this process is the owner and no lane is paused. Only a read shows a pause's end."""
        if self._view is None or not self._view.is_owner or self._view.stored.pauses:
            await self.read()
        return self.view

    async def read(self) -> None:
        """Read the row. If it is missing or cannot be read, make a new row."""
        try:
            self._see(await self._table.read())
        except NotFound:
            await self._create()
        except UnreadableRow as error:
            log.error("gate.made_anew error=%s", error)  # noqa: TRY400 # a traceback would add nothing
            with suppress(Changed, NotFound):  # another process was faster
                await self._table.make_anew(self._first_row())
            self._see(await self._table.read())

    async def take(self, decided: View, *, sweeps: bool) -> bool:
        """Take the next slot; false if the gate has changed since `decided`."""
        async with self._lock:
            if self._view is not decided:
                return False
            self._free_at = self.due_at()
            self._taken_at = self._clock.monotonic()
            starts_at = self._clock.now() + timedelta(seconds=self._seconds_to_own_start())
            self._reasons = replace(self._reasons, started_at=starts_at.isoformat(), throttled_reason="")
            return await self._write(
                lambda row, age: replace(
                    row, slot=row.slot + 1, due=due_after_take(age, interval=self._interval, sweeps=sweeps)
                )
            )

    async def take_for_sweep(self, decided: View) -> bool:
        """Take the gate for removing messages, without a start; false if the gate has changed since `decided`."""
        async with self._lock:
            if self._view is not decided:
                return False
            self._free_at = self.due_at()
            self._taken_at = self._clock.monotonic()
            self._reasons = replace(self._reasons, throttled_reason="")
            return await self._write(
                lambda row, age: replace(
                    row, due=max(row.due, due_after_take(age, interval=self._interval, sweeps=True))
                )
            )

    async def release(self) -> None:
        """Let others take the gate as soon as this process itself could start a batch."""
        async with self._lock:
            if self._view is None or not self._view.is_owner:
                return
            if self.view.row.due > self.age() + self._seconds_to_own_start() + 0.1:  # less is not worth a write
                await self._write(lambda row, age: replace(row, due=age + self._seconds_to_own_start()))

    async def note(self) -> None:
        """Write only the age and the reasons, so that a long wait ends even if no process lives as long as the wait."""
        quiet = self._clock.monotonic() - self.view.seen_at
        least = NOTE_SECONDS if self.view.is_owner else self._interval + 2 * START_BUDGET_SECONDS
        if quiet < least:
            return
        async with self._lock:
            if not self.view.is_owner:
                self._free_at = self.due_at()
            await self._write(lambda row, _: row)

    async def write_throttle(self) -> None:
        """Write a throttle into the row, so that other processes know of it. This process becomes the gate's owner."""
        async with self._lock:
            if not self._unwritten_throttle:
                return
            await self.read()
            until = self._free_at
            written = await self._write(
                lambda row, age: replace(
                    row,
                    due=due_after_throttle(row, age, interval=self._interval, wait=until - self._clock.monotonic()),
                ),
                retry=True,
            )
            if written:
                # Meanwhile, another answer may have asked for a longer wait. Its own call then waits for the lock.
                self._unwritten_throttle = self._free_at > until
                self._free_at = max(self._free_at, self.view.due_for_all())

    async def raise_age(self, age: float) -> None:
        """Raise the age to that of a mark with a greater age. There is such a mark if storage has lost gate writes."""
        async with self._lock:
            ahead = age - self.age()
            if ahead <= 0:
                return
            if not self.view.is_owner:
                self._free_at = self.due_at()
            if await self._write(lambda row, _: replace(row, due=row.due + ahead), ahead=ahead):
                log.warning("gate.behind seconds=%.3f: storage has lost the gate's last writes", ahead)

    # Helpers ----------------------------------------------------------------------------------------------------

    def _throttled_here(self) -> float:
        return self._free_at if self._unwritten_throttle else 0.0

    def _seconds_to_own_start(self) -> float:
        return max(0.0, self._free_at - self._clock.monotonic())

    def _see(self, stored: StoredGate) -> None:
        """Make a version that was read the present view. Its age counts from the moment at which it was first seen."""
        before, now = self._view, self._clock.monotonic()
        is_owner = stored.gate.token in self._tokens
        if before and before.stored.etag == stored.etag and before.is_owner == is_owner:
            return
        # The same token means that only a pause was merged, so the age still counts from the earlier moment.
        is_same_gate = before is not None and before.row.token == stored.gate.token
        seen_at = before.seen_at if before and is_same_gate else now
        self._view = View(stored=stored, seen_at=seen_at, is_owner=is_owner)

    async def _create(self) -> None:
        """Create the missing row as taken at this moment, because a batch may have started just before it was lost."""
        row = self._first_row()
        try:
            await self._table.create(row)
        except AlreadyExists:
            pass
        else:
            self._tokens = {row.token}
            self._free_at = max(self._free_at, self._clock.monotonic() + self._interval + START_BUDGET_SECONDS)
        self._see(await self._table.read())

    def _first_row(self) -> GateRow:
        age = self._view.age(self._clock.monotonic()) if self._view else 0.0
        due = due_after_take(age, interval=self._interval, sweeps=False)
        if self._unwritten_throttle:
            due = max(due, age + self._seconds_to_own_start())
        return self._reasons.on(GateRow(slot=0, token=uuid4().hex, age=age, due=due))

    async def _write(
        self, change: Callable[[GateRow, float], GateRow], *, retry: bool = False, ahead: float = 0.0
    ) -> bool:
        """Compare and set. If the gate has changed, return false, or apply the change to the new version if `retry`."""
        decided, reasons = self.view, self._reasons
        token = uuid4().hex
        self._tokens.add(token)

        def changed(_: GateRow) -> GateRow | None:
            view = self.view
            if view is not decided and not retry:
                return None
            age = self.age() + ahead
            row = change(view.row, age)
            return reasons.on(replace(row, token=token, age=age))

        written = await write_change(
            changed,
            read=self._read_version,
            write=self._write_row,
            is_own=_has_same_token,
            known=Version(value=decided.row, etag=decided.stored.etag),
        )
        if written is None:
            return False
        if self.view.row.token != token:  # the answer arrived, so the row was not read back
            stored = replace(self.view.stored, gate=written.value, etag=written.etag, written_at=self._clock.now())
            self._tokens = {token}
            self._view = View(stored=stored, seen_at=self._clock.monotonic(), is_owner=True)
        self._tokens = {token}
        self.has_unwritten_reasons = self.has_unwritten_reasons and self._reasons != reasons
        return True

    async def _write_row(self, row: GateRow, etag: str) -> str:
        try:
            return await self._table.write(row, etag)
        except NotFound as error:  # `Changed` makes the caller read, and reading makes a missing row
            raise Changed(str(error)) from None

    async def _read_version(self) -> Version[GateRow]:
        await self.read()
        return Version(value=self.view.row, etag=self.view.stored.etag)


async def _has_same_token(present: GateRow, written: GateRow) -> bool:
    return present.token == written.token
