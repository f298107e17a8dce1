"""The batches that this process runs. Each has its own task, which outlives the tick that started it.

A task fetches the batch, writes a throttle into the gate's row if the API asked to wait, and has the outcome recorded.
It logs nothing: its lines are collected for the tick that is under way.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from uuid import UUID

from ingest_core.dispatch.attempt import Delivered, Fetched, Outcome, attempt, delivered_by
from ingest_core.dispatch.gate import Gate
from ingest_core.dispatch.outage import ApiState, BatchKey
from ingest_core.dispatch.recorder import Recorder
from ingest_core.dispatch.settlement import LogLine, Rules, Settlement, StartedBatch, settle
from ingest_core.models import Item
from ingest_core.ports import Clock, Source
from ingest_core.storage.stores import Stores

REMEMBERED_BATCHES = 64
"""The number of waiting batches whose answers are kept in memory, so that they are not fetched again."""


class Running:
    """Starts batches and writes their ends."""

    def __init__(
        self, stores: Stores, *, gate: Gate, source: Source, source_timeout_seconds: float, clock: Clock, rules: Rules
    ) -> None:
        self._gate = gate
        self._source = source
        self._source_timeout_seconds = source_timeout_seconds
        self._clock = clock
        self._rules = rules
        self._tasks: dict[BatchKey, asyncio.Task[None]] = {}
        self._fetching: set[BatchKey] = set()
        self._delivered: dict[BatchKey, Delivered] = {}
        self._lines: list[LogLine] = []
        self._changed = asyncio.Event()
        self._recorder = Recorder(stores, gate=gate, clock=clock, lines=self._lines)
        self.api = ApiState()

    def __len__(self) -> int:
        """How many batches are being fetched, or have an end that is being written."""
        return len(self._tasks)

    @property
    def keys(self) -> frozenset[BatchKey]:
        """The batches that this process runs."""
        return frozenset(self._tasks)

    @property
    def fetching(self) -> int:
        """How many fetches are under way."""
        return len(self._fetching)

    def batches_of(self, ingestion_id: UUID) -> frozenset[int]:
        """The batches of an ingestion that this process runs."""
        return frozenset(index for running_id, index in self._tasks if running_id == ingestion_id)

    def take_lines(self) -> Sequence[LogLine]:
        """Return the log lines that were collected since the last call."""
        lines = list(self._lines)
        self._lines.clear()
        return lines

    async def wait(self, seconds: float) -> None:
        """Return when a fetch or a task has ended, but at the latest after `seconds`."""
        self._changed.clear()
        sleep = asyncio.ensure_future(self._clock.sleep(seconds))
        changed = asyncio.ensure_future(self._changed.wait())
        try:
            await asyncio.wait((sleep, changed), return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleep.cancel()
            changed.cancel()

    async def start(self, batch: StartedBatch, *, may_send: Callable[[], bool]) -> bool:
        """Send a marked batch and return true. If `may_send` is false at the last moment, remove the mark instead."""
        sent: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._spawn(batch.key, self._run(batch, may_send, sent))
        return await sent

    def undo_start(self, batch: StartedBatch) -> None:
        """Undo the counted attempt of a batch that was not sent, as soon as storage can be reached."""
        self._log_unsent(batch)
        self._spawn(batch.key, self._recorder.undo_start(batch, was_sent=False))

    def end(self, batch: StartedBatch, settlement: Settlement) -> None:
        """Write the end of a batch that ends without a further attempt."""
        self._spawn(batch.key, self._recorder.record(batch, settlement))

    async def stop(self) -> None:
        """Stop all batches and remove their marks."""
        self._recorder.is_stopping = True
        for key in self._fetching:
            self._tasks[key].cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def _log_unsent(self, batch: StartedBatch) -> None:
        text = f"batch.not_sent {batch} reason=the_slot_was_missed_throttled_or_paused"
        self._lines.append(LogLine(level=logging.INFO, text=text))

    def _spawn(self, key: BatchKey, work: Awaitable[None]) -> None:
        async def watched() -> None:
            try:
                await work
            except Exception as error:  # noqa: BLE001 # nobody awaits the task, so the error must be logged here
                text = f"batch.task_failed batch={key[0]}/{key[1]} error={type(error).__name__}: {error}"
                self._lines.append(LogLine(level=logging.ERROR, text=text))
            finally:
                if self._tasks.get(key) is asyncio.current_task():
                    del self._tasks[key]
                self._fetching.discard(key)
                self._changed.set()

        self._tasks[key] = asyncio.create_task(watched())

    async def _run(self, batch: StartedBatch, may_send: Callable[[], bool], sent: "asyncio.Future[bool]") -> None:
        try:
            if self._recorder.is_stopping or sent.cancelled() or not may_send():
                if not sent.done():
                    sent.set_result(False)
                self._log_unsent(batch)
                await self._recorder.undo_start(batch, was_sent=False)
                return
            batch = replace(batch, started_at=self._gate.record_start())
            self._lines.append(LogLine(level=logging.DEBUG, text=f"batch.started {batch}"))
            sent.set_result(True)
            self._fetching.add(batch.key)
            delivered = self._delivered.get(batch.key, (None,) * len(batch.ids))
            outcome = await attempt(
                self._source, batch.ids, delivered=delivered, timeout_seconds=self._source_timeout_seconds
            )
        except asyncio.CancelledError:
            self._recorder.is_stopping = True
            was_sent = sent.done() and not sent.cancelled() and sent.result()
            await self._recorder.undo_start(batch, was_sent=was_sent)
            raise
        self._fetching.discard(batch.key)
        self._changed.set()
        await self._settle(batch, outcome)

    async def _settle(self, batch: StartedBatch, outcome: Outcome) -> None:
        if not isinstance(outcome, Fetched):
            self._lines.extend(LogLine(level=logging.ERROR, text=text) for text in outcome.log_texts)
        before, self.api = self.api, self.api.after(batch.key, outcome)
        settlement = settle(
            batch,
            outcome,
            before=before,
            after=self.api,
            rules=self._rules,
            age=self._gate.age(),
            now=self._clock.now(),
        )
        self._remember(batch, outcome.items, has_ended=settlement.record is not None)
        self._report_api_state(before)
        tasks: list[Awaitable[object]] = [self._recorder.record(batch, settlement)]
        if throttle := settlement.throttle:
            self._gate.throttle_until(self._clock.monotonic() + throttle.seconds, throttle.reason)
            tasks.append(self._recorder.until_done(self._gate.write_throttle, "gate.throttle_unwritten"))
        try:
            await asyncio.gather(*tasks)
        except asyncio.CancelledError:  # the process is stopping, so try once more to write the outcome
            self._recorder.is_stopping = True
            await self._recorder.record(batch, settlement)
            raise

    def _report_api_state(self, before: ApiState) -> None:
        if self.api.is_down and not before.is_down:
            self._gate.set_reasons(down_since=self._clock.now().isoformat())
        if before.is_down and not self.api.is_down:
            self._gate.set_reasons(down_since="")
            self._lines.append(LogLine(level=logging.WARNING, text="source.up: the API answers again"))

    def _remember(self, batch: StartedBatch, items: Sequence[Item], *, has_ended: bool) -> None:
        self._delivered.pop(batch.key, None)
        if has_ended or not any(item.is_final for item in items):
            return
        self._delivered[batch.key] = delivered_by(items)
        while len(self._delivered) > REMEMBERED_BATCHES:
            del self._delivered[next(iter(self._delivered))]
