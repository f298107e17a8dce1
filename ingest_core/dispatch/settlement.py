"""Decides what follows from the outcome of an attempt. The decision is a value that `running` carries out."""

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from ingest_core.batching import batch_id
from ingest_core.dispatch.attempt import Failed, Fetched, Outcome, Throttled
from ingest_core.dispatch.outage import LONGEST_BACK_OFF_SECONDS, ApiState, BatchKey
from ingest_core.models import BatchRecord, Ingestion, Item, Priority, Status
from ingest_core.storage.rows import FORMAT

LONGEST_WAIT_SECONDS = 960.0
"""A batch waits at most this long for its next attempt."""

MAX_UNRECORDED_STARTS = 20
"""A batch fails after this many starts without a recorded end, because it most likely kills its host."""


@dataclass(frozen=True, kw_only=True)
class StartedBatch:
    """A batch with the values of its latest start. `token` fences it."""

    ingestion_id: UUID
    lane: Priority
    index: int
    ids: Sequence[int]
    token: str
    started_at: datetime
    attempts: int
    failures: int

    @property
    def key(self) -> BatchKey:
        """The key that identifies the batch."""
        return self.ingestion_id, self.index

    def __str__(self) -> str:
        """The fields of the batch in a log line."""
        number = batch_id(self.ingestion_id, self.index)
        ids = ",".join(map(str, self.ids))
        return (
            f"batch_id={number} ingestion_id={self.ingestion_id} index={self.index} lane={self.lane}"
            f" attempt={self.attempts} ids={ids}"
        )


@dataclass(frozen=True, kw_only=True)
class Rules:
    """The limits for attempts and for throttling. Times are in seconds."""

    max_attempts: int
    interval: float
    max_retry_after: float


@dataclass(frozen=True, kw_only=True)
class LogLine:
    """A log line that a tick prints later. The host drops the lines of a task whose own run is over."""

    level: int
    text: str


@dataclass(frozen=True, kw_only=True)
class Throttle:
    """No process may start a batch for this many seconds after the API's answer."""

    seconds: float
    reason: str


@dataclass(frozen=True, kw_only=True)
class Settlement:
    """What follows from an outcome.

    `change` is the change of the ingestion, `record` the batch row if the batch has ended, `poison` the text of a
    message for the poison queue, and `throttle` a throttle of the gate.
    """

    change: Callable[[Ingestion], Ingestion | None]
    lines: Sequence[LogLine]
    record: BatchRecord | None = None
    poison: str = ""
    throttle: Throttle | None = None


def settle(
    batch: StartedBatch, outcome: Outcome, *, before: ApiState, after: ApiState, rules: Rules, age: float, now: datetime
) -> Settlement:
    """Decide what follows from an attempt's outcome.

    `before` and `after` are the API's state before and after the outcome. `age` is the gate's age and `now` the
    wall-clock time at the outcome.
    """
    match outcome:
        case Fetched(items=items):
            return _completed(batch, items, now)
        case Throttled():
            return _throttled(batch, outcome, after, rules)
        case Failed() if not before.is_down and batch.failures + 1 >= rules.max_attempts:
            ended = failed_for_good(batch, outcome.items, error=outcome.error, now=now)
            return _with_outage(ended, outcome, before=before, after=after, rules=rules)
        case Failed():
            return _attempt_failed(batch, outcome, before=before, after=after, rules=rules, age=age)


def failed_for_good(batch: StartedBatch, items: Sequence[Item], *, error: str, now: datetime) -> Settlement:
    """End the batch as failed, with a message for the poison queue."""
    fields = {
        "format": FORMAT,
        "ingestion_id": str(batch.ingestion_id),
        "batch_id": str(batch_id(batch.ingestion_id, batch.index)),
        "ids": list(batch.ids),
        "attempts": batch.attempts,
        "error": error,
    }
    line = LogLine(level=logging.ERROR, text=f"batch.failed {batch} error={error}")
    return _ended(batch, items, Status.FAILED, now, line, error=error, poison=json.dumps(fields))


def _completed(batch: StartedBatch, items: Sequence[Item], now: datetime) -> Settlement:
    errors = sum(bool(item.error) for item in items)
    seconds = (now - batch.started_at).total_seconds()
    text = f"batch.completed {batch} seconds={seconds:.3f} ids_with_error={errors}"
    return _ended(batch, items, Status.COMPLETED, now, LogLine(level=logging.INFO, text=text))


def _ended(
    batch: StartedBatch,
    items: Sequence[Item],
    status: Status,
    now: datetime,
    line: LogLine,
    *,
    error: str = "",
    poison: str = "",
) -> Settlement:
    record = BatchRecord(
        index=batch.index,
        status=status,
        attempts=batch.attempts,
        triggered_at=batch.started_at,
        completed_at=now,
        token=batch.token,
        error=error,
        items=items,
    )
    errors = sum(bool(item.error) for item in items)
    has_failed = status is Status.FAILED

    def change(ingestion: Ingestion) -> Ingestion | None:
        after = ingestion.batch_ended(batch.index, batch.token, has_failed=has_failed, error_count=errors)
        return after and after.with_end(now)

    return Settlement(change=change, record=record, poison=poison, lines=[line])


def _throttled(batch: StartedBatch, outcome: Throttled, after: ApiState, rules: Rules) -> Settlement:
    """Throttle the gate for all lanes, because the limit belongs to the API."""
    retry_after = outcome.retry_after_seconds
    if retry_after is None:
        seconds = after.back_off_seconds(rules.interval)
    else:
        seconds = max(rules.interval, min(retry_after, rules.max_retry_after))
    text = f"source.throttled {batch} wait_seconds={seconds:.0f} error={outcome.error}"
    return Settlement(
        change=lambda ingestion: ingestion.throttled(batch.index, batch.token, error=outcome.error),
        lines=[LogLine(level=logging.WARNING, text=text)],
        throttle=Throttle(seconds=seconds, reason=outcome.error),
    )


def _attempt_failed(
    batch: StartedBatch, outcome: Failed, *, before: ApiState, after: ApiState, rules: Rules, age: float
) -> Settlement:
    """Let the batch wait for another attempt. Other batches go on, unless the API is taken to be down."""
    wait = min(rules.interval * 2.0 ** min(batch.attempts, 20), LONGEST_WAIT_SECONDS)
    if after.is_down:
        wait = min(wait, LONGEST_BACK_OFF_SECONDS)
    not_before = age + wait
    waits = Settlement(
        change=lambda ingestion: ingestion.attempt_failed(
            batch.index, batch.token, error=outcome.error, counts=not before.is_down, not_before=not_before
        ),
        lines=[LogLine(level=logging.WARNING, text=f"batch.attempt_failed {batch} error={outcome.error}")],
    )
    return _with_outage(waits, outcome, before=before, after=after, rules=rules)


def _with_outage(
    settlement: Settlement, outcome: Failed, *, before: ApiState, after: ApiState, rules: Rules
) -> Settlement:
    """Throttle the gate if the API is taken to be down after a failure, and log that once: when it begins."""
    if not after.is_down:
        return settlement
    reason = f"the API is taken to be down: {outcome.error}"
    throttle = Throttle(seconds=after.back_off_seconds(rules.interval), reason=reason)
    begins = [] if before.is_down else [LogLine(level=logging.ERROR, text=f"source.down error={outcome.error}")]
    return replace(settlement, throttle=throttle, lines=[*settlement.lines, *begins])
