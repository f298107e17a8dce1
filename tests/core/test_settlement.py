"""Tests of a settlement: what an attempt's outcome asks for."""

import json
import logging
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from ingest_core.batching import batch_id
from ingest_core.dispatch.attempt import Failed, Fetched, Outcome, Throttled
from ingest_core.dispatch.outage import ApiState
from ingest_core.dispatch.settlement import Rules, Settlement, StartedBatch, settle
from ingest_core.models import Flight, Ingestion, Item, Priority, Status

MINE = "mine"
STARTED = datetime(2026, 1, 1, tzinfo=UTC)
NOW = STARTED + timedelta(seconds=2)
AGE = 1000.0
RULES = Rules(max_attempts=5, interval=5.0, max_retry_after=3600.0)
UP = ApiState()
DOWN = ApiState(failing=frozenset((UUID(int=9), index) for index in range(3)), back_offs=3)

LISTED = Ingestion(
    ingestion_id=UUID(int=1),
    priority=Priority.LOW,
    created_at=STARTED,
    queued_at=STARTED,
    id_count=6,
    batch_size=3,
    digest="",
)
BATCH = StartedBatch(
    ingestion_id=LISTED.ingestion_id,
    lane=Priority.LOW,
    index=0,
    ids=(1, 2, 3),
    token="mine",
    started_at=STARTED,
    attempts=1,
    failures=0,
)
DATA = [Item(item_id=1, data="1"), Item(item_id=2, error="404"), Item(item_id=3, data="3")]
BROKEN = [Item(item_id=1, data="1"), *(Item(item_id=item_id, error="500", is_final=False) for item_id in (2, 3))]
FAILED = Failed(error="500", items=BROKEN, had_answer=False)


def settled(
    outcome: Outcome, batch: StartedBatch = BATCH, *, before: ApiState = UP, after: ApiState = UP
) -> Settlement:
    """What this outcome asks for, two seconds after the start."""
    return settle(batch, outcome, before=before, after=after, rules=RULES, age=AGE, now=NOW)


def started(token: str = MINE) -> Ingestion:
    """The ingestion with its first batch running, by the start with this token."""
    return LISTED.batch_started(0, token=token, age=AGE - 2, lease=25.0, at=STARTED)


def flight_after(settlement: Settlement) -> Flight:
    """The batch in flight once the settlement is written."""
    after = settlement.change(started())
    assert after is not None
    flight = after.flight(0)
    assert flight is not None
    return flight


def test_a_fetched_batch_completes_with_its_record() -> None:
    """The record says by which start, when, and what each ID came to."""
    settlement = settled(Fetched(items=DATA))
    after = settlement.change(started())
    assert after is not None
    assert after.batch_status(0) is Status.COMPLETED
    assert after.error_count == 1
    record = settlement.record
    assert record is not None
    assert (record.status, record.token, record.attempts) == (Status.COMPLETED, "mine", 1)
    assert (record.triggered_at, record.completed_at, record.items) == (STARTED, NOW, DATA)
    assert (settlement.poison, settlement.throttle) == ("", None)


def test_a_completed_batch_is_one_line_in_the_log() -> None:
    """It names the batch, its IDs, its time and its errors."""
    [line] = settled(Fetched(items=DATA)).lines
    assert line.level == logging.INFO
    assert line.text == (
        f"batch.completed batch_id={batch_id(LISTED.ingestion_id, 0)} ingestion_id={LISTED.ingestion_id} index=0"
        " lane=LOW attempt=1 ids=1,2,3 seconds=2.000 ids_with_error=1"
    )


@pytest.mark.parametrize(
    "outcome", [Fetched(items=DATA), FAILED, Throttled(error="429", items=BROKEN, retry_after_seconds=1)]
)
def test_no_outcome_changes_a_batch_that_another_start_has_claimed(outcome: Outcome) -> None:
    """The token fences it."""
    assert settled(outcome).change(started("another's")) is None


def test_the_last_batch_ends_the_ingestion() -> None:
    """Its time is that of the batch's end."""
    last = started().batch_ended(0, "mine", has_failed=False, error_count=0)
    assert last is not None
    last = last.batch_started(1, token="mine", age=AGE, lease=25.0, at=STARTED)
    after = settled(Fetched(items=DATA), replace(BATCH, index=1)).change(last)
    assert after is not None
    assert (after.status, after.ended_at) == (Status.COMPLETED, NOW)


@pytest.mark.parametrize(("starts", "seconds"), [(1, 10), (2, 20), (3, 40), (4, 80), (8, 960), (60, 960)])
def test_a_failed_attempt_waits_longer_with_every_start(starts: int, seconds: float) -> None:
    """Interval times 2, 4, 8 …, at most sixteen minutes; ages, not clocks, say until when."""
    flight = flight_after(settled(FAILED, replace(BATCH, attempts=starts)))
    assert flight.not_before == AGE + seconds
    assert (flight.running, flight.failures, flight.error) == (False, 1, "500")


def test_a_failed_attempt_closes_the_gate_for_nobody() -> None:
    """Other batches go on."""
    settlement = settled(FAILED)
    assert (settlement.throttle, settlement.record, settlement.poison) == (None, None, "")
    assert [line.level for line in settlement.lines] == [logging.WARNING]


def test_the_fifth_failure_is_the_last() -> None:
    """The batch ends as failed, and keeps what was delivered."""
    settlement = settled(FAILED, replace(BATCH, attempts=6, failures=4))
    after = settlement.change(started())
    assert after is not None
    assert after.batch_status(0) is Status.FAILED
    record = settlement.record
    assert record is not None
    assert (record.status, record.attempts, record.error, record.items) == (Status.FAILED, 6, "500", BROKEN)
    assert [line.level for line in settlement.lines] == [logging.ERROR]


def test_the_fifth_failure_may_be_the_one_that_shows_an_outage() -> None:
    """It counts, so the batch ends; the outage is logged, and the gate throttled, as after any other failure."""
    settlement = settled(FAILED, replace(BATCH, attempts=5, failures=4), before=UP, after=DOWN)
    record = settlement.record
    assert record is not None
    assert record.status is Status.FAILED
    assert [line.text.partition(" ")[0] for line in settlement.lines] == ["batch.failed", "source.down"]
    throttle = settlement.throttle
    assert throttle is not None
    assert throttle.seconds == 20


def test_the_poison_message_says_which_batch_failed_and_why() -> None:
    """It is JSON that a person or a program can read."""
    poison = json.loads(settled(FAILED, replace(BATCH, attempts=5, failures=4)).poison)
    assert {key: poison[key] for key in ("ingestion_id", "batch_id", "ids", "attempts", "error")} == {
        "ingestion_id": str(LISTED.ingestion_id),
        "batch_id": str(batch_id(LISTED.ingestion_id, 0)),
        "ids": [1, 2, 3],
        "attempts": 5,
        "error": "500",
    }


def test_while_the_api_is_down_no_failure_counts() -> None:
    """Not even the fifth one ends a batch."""
    flight = flight_after(settled(FAILED, replace(BATCH, attempts=5, failures=4), before=DOWN, after=DOWN))
    assert (flight.failures, flight.running) == (0, False)


def test_while_the_api_is_down_waits_are_at_most_a_minute_and_the_gate_is_throttled() -> None:
    """The back-off is the outage's, and its reason says why."""
    settlement = settled(FAILED, replace(BATCH, attempts=9), before=DOWN, after=DOWN)
    assert flight_after(settlement).not_before == AGE + 60
    throttle = settlement.throttle
    assert throttle is not None
    assert (throttle.seconds, throttle.reason) == (20, "the API is taken to be down: 500")


def test_the_failure_that_shows_the_outage_still_counts() -> None:
    """The outage is an error in the log once: when it begins."""
    settlement = settled(FAILED, before=UP, after=DOWN)
    assert flight_after(settlement).failures == 1
    assert [line.level for line in settlement.lines] == [logging.WARNING, logging.ERROR]
    assert [line.level for line in settled(FAILED, before=DOWN, after=DOWN).lines] == [logging.WARNING]


@pytest.mark.parametrize(("asked", "seconds"), [(30.0, 30.0), (1.0, 5.0), (86_400.0, 3600.0), (None, 20.0)])
def test_a_throttled_attempt_closes_the_gate_as_long_as_the_api_asks(asked: float | None, seconds: float) -> None:
    """At least the interval, at most the setting; the back-off where the API does not say."""
    outcome = Throttled(error="429", items=BROKEN, retry_after_seconds=asked)
    throttle = settled(outcome, after=ApiState(back_offs=3)).throttle
    assert throttle is not None
    assert (throttle.seconds, throttle.reason) == (seconds, "429")


def test_a_throttled_attempt_does_not_count() -> None:
    """Neither as a failure nor as an attempt, and the batch waits for nothing but the gate."""
    flight = flight_after(settled(Throttled(error="429", items=BROKEN, retry_after_seconds=30)))
    assert (flight.failures, flight.attempts, flight.running, flight.not_before) == (0, 0, False, 0.0)


def test_a_failed_attempt_of_a_cancelled_ingestion_is_its_batchs_end() -> None:
    """Nothing of it starts again."""
    cancelled = started().cancelled(reason="", at=STARTED)
    after = settled(FAILED).change(cancelled)
    assert after is not None
    assert after.with_end(NOW).status is Status.CANCELLED
