"""Upkeep is the work of a timer that fires every ten minutes and at the start of a host.

It gives open ingestions of an earlier version a backlog row, runs recovery, and runs retention.
"""

import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from ingest_core.dispatch.recovery import Recovery, Repair
from ingest_core.dispatch.retention import Retention
from ingest_core.errors import UnreadableRow
from ingest_core.ports import Clock
from ingest_core.storage.stores import Stores

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class UpkeepReport:
    """The numbers of ingestions that a run has changed."""

    #: Open ingestions of the first format that got a backlog row.
    carried_over: int = 0
    #: Open ingestions whose message was put back.
    restored: int = 0
    #: Ended ingestions that were closed.
    closed: int = 0
    #: Backlog rows that were corrected.
    repaired: int = 0
    #: Backlog rows that were deleted, because their ingestion does not exist.
    forgotten: int = 0
    #: Ingestions that were deleted, because they ended long ago.
    deleted: int = 0

    def __str__(self) -> str:
        """The fields of the log line about the run."""
        return (
            f"carried_over={self.carried_over} restored={self.restored} closed={self.closed}"
            f" repaired={self.repaired} forgotten={self.forgotten} deleted={self.deleted}"
        )


class Upkeep:
    """The work of the timer. `gate_age` returns the gate's present age, in seconds of gate time."""

    def __init__(
        self, stores: Stores, *, gate_age: Callable[[], Awaitable[float]], clock: Clock, retention_days: int
    ) -> None:
        self._ingestions = stores.ingestions
        self._backlog = stores.backlog
        self._recovery = Recovery(stores, gate_age=gate_age, clock=clock)
        self._retention = Retention(stores, clock=clock, days=retention_days)
        self._has_carried_over = False
        self._is_running = False

    async def run(self) -> UpkeepReport:
        """Do all upkeep, or nothing if a run of this process is under way. Raises `StorageUnavailable`."""
        if self._is_running:
            return UpkeepReport()
        self._is_running = True
        try:
            carried_over = await self._carry_over()
            repairs = Counter(await self._recovery.run())
            deleted = await self._retention.run()
        finally:
            self._is_running = False
        return UpkeepReport(
            carried_over=carried_over,
            restored=repairs[Repair.RESTORED],
            closed=repairs[Repair.CLOSED],
            repaired=repairs[Repair.REPAIRED],
            forgotten=repairs[Repair.FORGOTTEN],
            deleted=deleted,
        )

    async def _carry_over(self) -> int:
        """Give open ingestions of the first format a backlog row. It reads the whole table, so it runs only once."""
        if self._has_carried_over:
            return 0
        carried_over = 0
        async for ingestion in self._ingestions.open_in_first_format():
            if isinstance(ingestion, UnreadableRow):
                log.warning("row.unreadable reason=%s", ingestion)
                continue
            carried_over += await self._backlog.insert(ingestion)
        self._has_carried_over = True
        return carried_over
