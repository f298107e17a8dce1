"""Tests of an ingestion's changes: whatever comes in whatever order, batches move forward and the numbers add up."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ingest_core.errors import AlreadyEnded
from ingest_core.models import (
    MAX_ERROR_BYTES,
    MAX_IN_FLIGHT_PER_INGESTION,
    Flight,
    Ingestion,
    IngestRequest,
    Priority,
    Status,
    cut_error,
)
from ingest_core.storage import rows

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LEASE = 25.0
ORDER = {Status.YET_TO_START: 0, Status.TRIGGERED: 1, Status.COMPLETED: 2, Status.FAILED: 2, Status.CANCELLED: 2}


def new(id_count: int = 9, **fields: object) -> Ingestion:
    """An ingestion that has just been accepted."""
    given_fields: dict = {
        "ingestion_id": UUID(int=1), "priority": Priority.HIGH, "created_at": NOW, "queued_at": NOW,
        "id_count": id_count, "batch_size": 3, "digest": "", **fields,
    }  # fmt: skip
    return Ingestion(**given_fields)


def started(ingestion: Ingestion, *indices: int, age: float = 0.0) -> Ingestion:
    """The batches have been started, in this order."""
    for index in indices:
        ingestion = ingestion.batch_started(index, token=f"t{index}", age=age, lease=LEASE, at=NOW)
    return ingestion


def ended(ingestion: Ingestion, index: int, *, failed: bool = False) -> Ingestion:
    """A batch has ended."""
    after = ingestion.batch_ended(index, f"t{index}", has_failed=failed, error_count=3 * failed)
    assert after is not None
    return after


class Changes(RuleBasedStateMachine):
    """Every change in every order, beside a plain model of the batches."""

    @initialize(id_count=st.integers(1, 130))
    def accept(self, id_count: int) -> None:
        """A new list."""
        self.ingestion = new(id_count)
        self.before = self.ingestion
        self.age = 0.0
        self.tokens = 0
        self.ends: dict[int, Status] = {}
        self.errors = 0

    @rule(seconds=st.sampled_from([0.0, 1.0, 10.0, LEASE]))
    def let_time_pass(self, seconds: float) -> None:
        """The gate's age grows."""
        self.age += seconds

    @rule()
    def start_next(self) -> None:
        """The first batch that may start is started."""
        index = self.ingestion.batch_that_may_start(self.age)
        if index is None:
            return
        flight = self.ingestion.flight(index)
        assert flight is None or flight.may_start(self.age)
        assert index not in self.ends
        self.tokens += 1
        self._now(self.ingestion.batch_started(index, token=f"t{self.tokens}", age=self.age, lease=LEASE, at=NOW))

    @precondition(lambda self: self._running())
    @rule(data=st.data(), has_failed=st.booleans(), errors=st.integers(0, 3))
    def end_one(self, data: st.DataObject, errors: int, *, has_failed: bool) -> None:
        """A running batch ends."""
        flight = data.draw(st.sampled_from(self._running()))
        errors = min(errors, self.ingestion.id_count - flight.index * self.ingestion.batch_size)
        after = self.ingestion.batch_ended(flight.index, flight.token, has_failed=has_failed, error_count=errors)
        assert after is not None
        self.ends[flight.index] = Status.FAILED if has_failed else Status.COMPLETED
        self.errors += errors
        self._now(after)

    @precondition(lambda self: self._running())
    @rule(data=st.data(), how=st.sampled_from(["failed", "down", "throttled", "undone", "not sent"]))
    def stop_one(self, data: st.DataObject, how: str) -> None:
        """A running batch comes to nothing, and waits or is cancelled."""
        flight = data.draw(st.sampled_from(self._running()))
        index, token = flight.index, flight.token
        changes = {
            "failed": lambda: self.ingestion.attempt_failed(
                index, token, error="é" * 300, counts=True, not_before=self.age + 10
            ),
            "down": lambda: self.ingestion.attempt_failed(index, token, error="", counts=False, not_before=self.age),
            "throttled": lambda: self.ingestion.throttled(index, token, error="429"),
            "undone": lambda: self.ingestion.start_undone(index, token, was_sent=True),
            "not sent": lambda: self.ingestion.start_undone(index, token, was_sent=False),
        }
        after = changes[how]()
        assert after is not None
        stopped = after.flight(index)
        if self.ingestion.cancel_requested_at:
            self.ends[index] = Status.CANCELLED
            assert stopped is None
        else:
            assert stopped is not None
            assert not stopped.running
            assert stopped.failures - flight.failures == (how == "failed")
            assert stopped.attempts == flight.attempts - (how in ("throttled", "not sent"))
        self._now(after)

    @rule(index=st.integers(0, 50))
    def stale_tokens_change_nothing(self, index: int) -> None:
        """Whose mark is another's may neither end the batch nor stop it."""
        assert self.ingestion.batch_ended(index, "stale", has_failed=True, error_count=1) is None
        assert self.ingestion.attempt_failed(index, "stale", error="", counts=True, not_before=0) is None
        assert self.ingestion.throttled(index, "stale", error="") is None
        assert self.ingestion.start_undone(index, "stale", was_sent=True) is None

    @rule(often=st.integers(0, 9))
    def cancel(self, often: int) -> None:
        """Sometimes a person cancels it; a repeat changes nothing."""
        if often:
            return
        try:
            after = self.ingestion.cancelled(reason="wrong", at=NOW)
        except AlreadyEnded:
            assert self.ingestion.has_ended
            return
        for flight in self.ingestion.in_flight:
            if not flight.running and not self.ingestion.cancel_requested_at:
                self.ends[flight.index] = Status.CANCELLED
        assert after.cancelled(reason="other", at=NOW + timedelta(days=1)) == after
        self._now(after)

    @rule()
    def cancel_abandoned(self) -> None:
        """Upkeep looks at it."""
        gone = [flight.index for flight in self._running() if self.age - flight.age >= LEASE]
        after = self.ingestion.abandoned_batches_cancelled(age=self.age)
        assert (after is not None) == bool(gone and self.ingestion.cancel_requested_at)
        if after:
            self.ends.update(dict.fromkeys(gone, Status.CANCELLED))
            self._now(after)

    @rule(lane=st.sampled_from(Priority))
    def move(self, lane: Priority) -> None:
        """A person changes its priority."""
        try:
            after = self.ingestion.moved(lane, at=NOW)
        except AlreadyEnded:
            assert self.ingestion.has_ended or self.ingestion.cancel_requested_at
            return
        assert after.generation == self.ingestion.generation + 1
        assert not after.is_queued
        assert after.queued(self.ingestion.generation, at=NOW) is None
        queued = after.queued(after.generation, at=NOW)
        assert queued is not None
        self._now(queued)

    def _now(self, after: Ingestion) -> None:
        self.before, self.ingestion = self.ingestion, after.with_end(NOW)

    def _running(self) -> list[Flight]:
        return [flight for flight in self.ingestion.in_flight if flight.running]

    @invariant()
    def numbers_add_up(self) -> None:
        """Every batch has one status, and the counts are those of the statuses."""
        one = self.ingestion
        statuses = [one.batch_status(index) for index in range(one.batch_count)]
        assert one.completed_count == statuses.count(Status.COMPLETED)
        assert one.failed_count == statuses.count(Status.FAILED)
        assert one.cancelled_count == statuses.count(Status.CANCELLED)
        assert len(one.in_flight) == statuses.count(Status.TRIGGERED) <= MAX_IN_FLIGHT_PER_INGESTION
        assert one.error_count == self.errors
        for index, status in self.ends.items():
            assert statuses[index] is status
        assert all(index in self.ends or status in OPEN_OR_NEVER_STARTED for index, status in enumerate(statuses))

    @invariant()
    def batches_move_forward_only(self) -> None:
        """And an end is final, of a batch and of the whole."""
        for index in range(self.ingestion.batch_count):
            before, after = self.before.batch_status(index), self.ingestion.batch_status(index)
            assert ORDER[before] <= ORDER[after]
            assert ORDER[before] < 2 or before is after
        assert not self.before.has_ended or self.ingestion.status is self.before.status
        assert (self.ingestion.ended_at is not None) == self.ingestion.has_ended

    @invariant()
    def the_status_follows_from_the_batches(self) -> None:
        """As the contract has it."""
        one = self.ingestion
        statuses = {one.batch_status(index) for index in range(one.batch_count)}
        if statuses == {Status.YET_TO_START}:
            expected = Status.YET_TO_START
        elif statuses & {Status.YET_TO_START, Status.TRIGGERED}:
            expected = Status.TRIGGERED
        elif Status.CANCELLED in statuses:
            expected = Status.CANCELLED
        else:
            expected = Status.FAILED if Status.FAILED in statuses else Status.COMPLETED
        if one.cancel_requested_at and one.in_flight:
            expected = Status.TRIGGERED
        assert one.status is expected
        assert (one.batches_to_start == 0) or not one.has_ended

    @invariant()
    def it_comes_back_from_storage_as_it_was(self) -> None:
        """Decoding accepts whatever the changes make."""
        assert rows.decode_ingestion(rows.encode_ingestion(self.ingestion)) == self.ingestion


OPEN_OR_NEVER_STARTED = {Status.YET_TO_START, Status.TRIGGERED, Status.CANCELLED}

TestChanges = Changes.TestCase
TestChanges.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


def test_batches_start_in_order_and_end_in_any() -> None:
    """The state holds those that are in flight, by index."""
    one = started(new(), 0, 1, 2)
    one = ended(ended(one, 2), 0, failed=True)
    assert [one.batch_status(index) for index in range(3)] == [Status.FAILED, Status.TRIGGERED, Status.COMPLETED]
    assert one.first_open_batch == 1
    one = ended(one, 1)
    assert (one.status, one.first_open_batch, one.error_count) == (Status.FAILED, 3, 3)


def test_a_waiting_batch_goes_before_one_that_was_never_started() -> None:
    """If its back-off is over."""
    one = started(new(), 0, 1, age=40.0).attempt_failed(0, "t0", error="500", counts=True, not_before=50.0)
    assert one is not None
    assert one.batch_that_may_start(49.9) == 2
    assert one.batch_that_may_start(50.0) == 0


def test_an_abandoned_batch_may_start_when_its_own_lease_is_over() -> None:
    """The lease is the one that its start has written, whatever the setting is now."""
    one = started(new(3), 0, age=100.0)
    assert one.batch_that_may_start(124.9) is None
    assert one.batch_that_may_start(125.0) == 0
    assert one.batch_that_may_start(125.0, running_here=frozenset({0})) is None


def test_with_thirty_two_batches_in_flight_no_further_one_starts() -> None:
    """The row stays small; those in flight are started again."""
    one = started(new(300), *range(32))
    assert one.batch_that_may_start(0.0) is None
    assert one.batch_that_may_start(LEASE) == 0
    assert ended(one, 7).batch_that_may_start(0.0) == 32


def test_a_cancel_removes_what_waits_and_lets_what_runs_end() -> None:
    """Batches that never started are cancelled too."""
    one = started(new(12), 0, 1, 2).attempt_failed(0, "t0", error="500", counts=True, not_before=50.0)
    assert one is not None
    one = one.cancelled(reason="wrong list", at=NOW)
    statuses = [one.batch_status(index) for index in range(4)]
    assert statuses == [Status.CANCELLED, Status.TRIGGERED, Status.TRIGGERED, Status.CANCELLED]
    assert (one.status, one.batch_that_may_start(1e9)) == (Status.TRIGGERED, None)
    one = ended(ended(one, 1), 2, failed=True)
    assert (one.status, one.completed_count, one.failed_count, one.cancelled_count) == (Status.CANCELLED, 1, 1, 2)


@pytest.mark.parametrize(("failed", "status"), [(False, Status.COMPLETED), (True, Status.FAILED)])
def test_a_cancel_that_comes_too_late_cancels_nothing(*, failed: bool, status: Status) -> None:
    """All batches run already, and all of them end."""
    one = started(new(6), 0, 1).cancelled(reason="", at=NOW)
    one = ended(ended(one, 0), 1, failed=failed)
    assert (one.status, one.cancelled_count) == (status, 0)


def test_starts_whose_end_nobody_recorded_are_counted_until_one_is() -> None:
    """A batch that kills its host would otherwise do so for ever."""
    one = started(new(), 0)
    for _ in range(4):
        one = started(one, 0)
    (flight,) = one.in_flight
    assert (flight.attempts, flight.unrecorded) == (5, 5)
    waits = one.attempt_failed(0, "t0", error="500", counts=True, not_before=0.0)
    assert waits is not None
    assert [flight.unrecorded for flight in waits.in_flight] == [0]
    assert [flight.error for flight in started(waits, 0).in_flight] == ["500"]


def test_an_attempt_is_settled_once() -> None:
    """A write that is repeated finds that the batch waits already."""
    waits = started(new(), 0).attempt_failed(0, "t0", error="500", counts=True, not_before=0.0)
    assert waits is not None
    assert waits.attempt_failed(0, "t0", error="500", counts=True, not_before=0.0) is None
    assert waits.throttled(0, "t0", error="429") is None
    assert waits.start_undone(0, "t0", was_sent=True) is None


def test_only_a_cancelled_list_loses_the_batches_of_a_process_that_is_gone() -> None:
    """In any other list they are started again."""
    one = started(new(), 0, age=0.0)
    assert one.abandoned_batches_cancelled(age=LEASE) is None
    assert one.cancelled(reason="", at=NOW).abandoned_batches_cancelled(age=LEASE) is not None


def test_the_largest_state_fits_into_a_property() -> None:
    """Storage counts UTF-16: 64 KiB hold 32 batches in flight with long errors and large numbers."""
    worst = '\U0001f600é\u4e2d"\\' * 100
    one = started(new(200_000), *range(32), age=123_456_789.123456789)
    for index in range(32):
        after = one.attempt_failed(index, f"t{index}", error=worst, counts=True, not_before=123_456_789.987654321)
        assert after is not None
        one = after
    one = replace(one, in_flight=tuple(replace(flight, token="f" * 36, attempts=2**31) for flight in one.in_flight))
    text = str(rows.encode_state(one)["in_flight"])
    assert len(text.encode("utf-16-le")) < 48 * 1024


@given(st.text(st.characters(), max_size=400))
def test_a_cut_error_is_short_and_keeps_its_beginning(text: str) -> None:
    """It is stored in the ingestion row, and in UTF-8."""
    cut = cut_error(text)
    assert len(json.dumps(cut)) <= MAX_ERROR_BYTES
    assert text.encode(errors="replace").decode().startswith(cut)
    cut.encode()


def test_equal_requests_have_equal_digests_and_others_have_others() -> None:
    """Lists, priorities and labels that differ anywhere."""
    requests = [
        IngestRequest(ids=ids, priority=priority, label=label)
        for ids in ([1, 2], [2, 1], [1], [1, 2, 2])
        for priority in Priority
        for label in ("", "a", "b")
    ]
    assert len({request.digest for request in requests}) == len(requests)
    assert IngestRequest(ids=(1, 2), priority=Priority.LOW).digest == requests[6].digest
