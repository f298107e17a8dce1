"""How an attempt ends: what is written, in which order, and by whom.

Only the owner of a batch's latest mark ends it: every write is conditional on the version that the mark made. A write
whose answer was lost is read back; one that somebody else overtook is refused, and nothing is counted twice.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from ingest_core.attempt import Failed, Fetched, Held, Outcome
from ingest_core.batching import batch_id
from ingest_core.errors import Changed, StorageUnavailable
from ingest_core.gate import RateGate
from ingest_core.ingestions import Ingestions, Turn
from ingest_core.lanes import Lanes
from ingest_core.models import BatchRecord, Flight, Ingestion, Item, Priority, Status
from ingest_core.ports import Clock, Message

log = logging.getLogger(__name__)

LONGEST_BACK_OFF_SECONDS = 60.0
TRIES = 5
"""Writes of one outcome, when others keep changing the row or answers keep getting lost."""


@dataclass(frozen=True)
class Work:
    """A batch whose turn it is, and the message that stands for its ingestion."""

    turn: Turn
    lane: Priority
    message: Message
    at_front: bool
    started_at: datetime

    @property
    def ingestion(self) -> Ingestion:
        """The ingestion as it was read or marked last."""
        return self.turn.ingestion

    @property
    def flight(self) -> Flight:
        """The marked batch."""
        if self.ingestion.flight is None:
            raise ValueError("the batch is not marked")
        return self.ingestion.flight


@dataclass(frozen=True, kw_only=True)
class Rules:
    """How failures are counted and how long the API may keep the gate closed; times are in seconds."""

    max_attempts: int
    interval: float
    max_retry_after: float


class Settlement:
    """Writes what became of a started batch. Every method raises `StorageUnavailable`."""

    def __init__(self, *, ingestions: Ingestions, lanes: Lanes, gate: RateGate, clock: Clock, rules: Rules) -> None:
        self._ingestions = ingestions
        self._lanes = lanes
        self._gate = gate
        self._clock = clock
        self._rules = rules
        self._refusals = 0

    async def settle(self, work: Work, outcome: Outcome) -> None:
        """Write an attempt's outcome."""
        if not isinstance(outcome, Held):
            self._refusals = 0
        match outcome:
            case Fetched(items):
                await self._end(work, self._record(work, Status.COMPLETED, items=items))
            case Failed(error, items) if work.flight.failures + 1 >= self._rules.max_attempts:
                await self._fail(work, error, items)
            case Failed(error):
                log.warning("batch.attempt_failed %s error=%s", names(work), error)
                await self._write(work, work.ingestion.attempt_failed(error))
            case Held():
                await self._hold(work, outcome)

    async def give_up(self, work: Work) -> None:
        """Take the mark's count back: slow storage must not wear a batch out that the API has never seen."""
        log.warning("batch.given_up %s reason=preparing_took_too_long", names(work))
        await self._write(work, work.ingestion.given_up())

    async def wear_out(self, work: Work, error: str) -> None:
        """End a batch that was started too often without an end."""
        await self._fail(work, error, [Item(item_id=item_id, error=error) for item_id in work.turn.ids])

    async def _fail(self, work: Work, error: str, items: Sequence[Item]) -> None:
        """End the batch as failed. The poison message goes first: it may come twice, it must not be missing."""
        ingestion = work.ingestion
        fields = {
            "ingestion_id": str(ingestion.ingestion_id),
            "batch_id": str(batch_id(ingestion.ingestion_id, ingestion.finished_batches)),
            "ids": list(work.turn.ids),
            "attempts": work.flight.attempts,
            "error": error,
        }
        await self._lanes.put_poison(work.lane, fields)
        await self._end(work, self._record(work, Status.FAILED, items=items, error=error))

    async def _hold(self, work: Work, held: Held) -> None:
        """The limit belongs to the API, so no lane runs until it may be asked again."""
        asked = held.retry_after_seconds
        if asked is None:
            asked = min(self._rules.interval * 2**self._refusals, LONGEST_BACK_OFF_SECONDS)
            self._refusals = min(self._refusals + 1, 10)
        seconds = max(min(asked, self._rules.max_retry_after), self._rules.interval)
        log.warning("source.unavailable %s wait_seconds=%.0f error=%s", names(work), seconds, held.error)
        self._gate.pause(seconds, held.error)
        until = self._clock.now() + timedelta(seconds=seconds)
        await self._write(work, work.ingestion.held(held.error, until=until))

    async def _end(self, work: Work, record: BatchRecord) -> None:
        errors = sum(bool(item.error) for item in record.items)
        ended = work.ingestion.batch_ended(failed=record.status is Status.FAILED, error_count=errors)
        if not await self._write(work, ended, record):
            return
        taken = (record.completed_at - record.triggered_at).total_seconds()
        told = f"seconds={taken:.3f} ids_with_error={errors} error={record.error or '-'}"
        log.info("batch.%s %s %s", record.status, names(work), told)
        if ended.finished:
            log.info("ingestion.%s ingestion_id=%s", ended.status, ended.ingestion_id)
            if work.at_front and self._gate.held():
                await self._lanes.remove_front(work.lane, work.message)

    async def _write(self, work: Work, after: Ingestion, record: BatchRecord | None = None) -> bool:
        """Write until the outcome is certain; False when the batch belongs to somebody else by now."""
        etag = work.turn.etag
        for _ in range(TRIES):
            try:
                if record:
                    await self._ingestions.end_batch(after, record, etag=etag)
                else:
                    await self._ingestions.update(after, etag=etag)
            except (Changed, StorageUnavailable):
                turn = await self._ingestions.read_turn(after.ingestion_id)
                current = replace(turn.ingestion, queued_at=after.queued_at)  # recovery may have written that
                if current == after:
                    return True
                if current != work.ingestion:
                    log.warning("batch.refused %s reason=another_process_has_taken_it", names(work))
                    return False
                etag = turn.etag
            else:
                return True
        raise StorageUnavailable("storage keeps losing answers; the batch will be tried again")

    def _record(self, work: Work, status: Status, *, items: Sequence[Item], error: str = "") -> BatchRecord:
        return BatchRecord(
            index=work.ingestion.finished_batches,
            status=status,
            attempts=work.flight.attempts,
            triggered_at=work.started_at,
            completed_at=self._clock.now(),
            error=error,
            items=items,
        )


def names(work: Work) -> str:
    """What a log line calls a batch."""
    ingestion = work.ingestion
    number = batch_id(ingestion.ingestion_id, ingestion.finished_batches)
    return f"batch_id={number} ingestion_id={ingestion.ingestion_id} lane={work.lane} slot={ingestion.slot}"
