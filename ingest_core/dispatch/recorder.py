"""Writes what followed from a start: the batch's end, its wait for another attempt, or that it was not sent.

A write is repeated until it succeeds or another process has started the batch.
"""

import logging
from collections.abc import Awaitable, Callable

from ingest_core.dispatch.gate import Gate
from ingest_core.dispatch.outage import BatchKey
from ingest_core.dispatch.settlement import LogLine, Settlement, StartedBatch
from ingest_core.errors import NotFound, StorageUnavailable, UnreadableRow
from ingest_core.models import Ingestion
from ingest_core.ports import Clock
from ingest_core.storage.stores import Stores

FIRST_WAIT_SECONDS = 0.1
LONGEST_WAIT_SECONDS = 5.0
"""How long to wait before a failed write is repeated. The wait doubles each time."""


class Recorder:
    """Records outcomes, and adds its log lines to `lines`."""

    def __init__(self, stores: Stores, *, gate: Gate, clock: Clock, lines: list[LogLine]) -> None:
        self._ingestions = stores.ingestions
        self._lanes = stores.lanes
        self._closing = stores.closing
        self._gate = gate
        self._clock = clock
        self._lines = lines
        self._ends_failing: set[BatchKey] = set()
        self.is_stopping = False
        """Whether the process is about to end: each write is then tried only once."""

    async def record(self, batch: StartedBatch, settlement: Settlement) -> None:
        """Write the poison message, then the end of the batch, then close the ingestion if it has ended."""
        if settlement.poison:
            # It is written before the end, so that a crash in between does not lose it, and in a loop of its own, so
            # that it is not written again with each try of the end.
            is_put = await self.until_done(
                lambda: self._lanes.put_poison(batch.lane, settlement.poison), f"batch.poison_unwritten {batch}"
            )
            if not is_put:
                return
        ended: list[Ingestion] = []
        await self.until_done(lambda: self._write(batch, settlement, ended), f"batch.end_unwritten {batch}", batch.key)
        for ingestion in ended:
            level = logging.ERROR if any(ingestion.failed) else logging.INFO
            text = f"ingestion.{ingestion.status} ingestion_id={ingestion.ingestion_id} errors={ingestion.error_count}"
            self._lines.append(LogLine(level=level, text=text))
            try:
                await self._closing.close(ingestion)
            except StorageUnavailable as error:
                text = f"ingestion.close_failed ingestion_id={ingestion.ingestion_id} error={error} retry=upkeep"
                self._lines.append(LogLine(level=logging.WARNING, text=text))

    async def undo_start(self, batch: StartedBatch, *, was_sent: bool) -> None:
        """Remove the mark of a start that was not sent or was interrupted. It counts as an attempt if it was sent."""
        settlement = Settlement(
            change=lambda ingestion: ingestion.start_undone(batch.index, batch.token, was_sent=was_sent), lines=[]
        )
        await self.record(batch, settlement)

    async def _write(self, batch: StartedBatch, settlement: Settlement, ended: list[Ingestion]) -> None:
        now = self._clock.now()

        def change(ingestion: Ingestion) -> Ingestion | None:
            after = settlement.change(ingestion)
            return after and after.with_end(now)

        try:
            if settlement.record:
                written = await self._ingestions.end_batch(batch.ingestion_id, change, settlement.record)
            else:
                written = await self._ingestions.change(
                    batch.ingestion_id, change, is_own=lambda present, _: _has_settled(present, batch)
                )
        except (NotFound, UnreadableRow) as error:
            self._lines.append(LogLine(level=logging.WARNING, text=f"batch.row_lost {batch} error={error}"))
            return
        if written is None:
            text = f"batch.mark_lost {batch}: another process has started it since"
            self._lines.append(LogLine(level=logging.WARNING, text=text))
            return
        self._lines.extend(settlement.lines)
        if written.value.has_ended:
            ended.append(written.value)

    async def until_done(self, write: Callable[[], Awaitable[None]], event: str, key: BatchKey | None = None) -> bool:
        """Repeat the write until it succeeds, and return whether it has.

        Meanwhile the batch counts as running here, so it is not started again.
        A process that is stopping tries only once. If that fails, another process starts the batch after its lease.
        """
        wait = FIRST_WAIT_SECONDS
        while True:
            try:
                await write()
            except StorageUnavailable as error:
                if wait == FIRST_WAIT_SECONDS:  # only the first failure is logged
                    retry = "after_lease" if self.is_stopping else "until_written"
                    self._lines.append(LogLine(level=logging.ERROR, text=f"{event} error={error} retry={retry}"))
                if self.is_stopping:
                    return False
                self._report_failing_ends(key, failing=True)
                await self._clock.sleep(wait)
                wait = min(2 * wait, LONGEST_WAIT_SECONDS)
            else:
                self._report_failing_ends(key, failing=False)
                return True

    def _report_failing_ends(self, key: BatchKey | None, *, failing: bool) -> None:
        """Show on the gate's row, for people, how many ends of batches cannot be written."""
        if key is None:
            return
        if failing:
            self._ends_failing.add(key)
        else:
            self._ends_failing.discard(key)
        number = len(self._ends_failing)
        self._gate.set_reasons(trouble=f"the ends of {number} batches cannot be written" if number else "")


def _has_settled(ingestion: Ingestion, batch: StartedBatch) -> bool:
    """Whether the row already contains the result of this start: the batch waits, or is cancelled."""
    flight = ingestion.flight(batch.index)
    if flight is None:
        return batch.index in ingestion.cancelled_batches
    return flight.token == batch.token and not flight.running
