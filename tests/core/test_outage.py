"""Tests of the outage rule: when the API is taken to be down, and for how long nothing starts."""

from uuid import UUID

import pytest

from ingest_core.dispatch.attempt import Failed, Fetched, Outcome, Throttled
from ingest_core.dispatch.outage import ApiState

LIST = UUID(int=1)
FAILED = Failed(error="500", items=[], had_answer=False)
PARTLY_FAILED = Failed(error="500", items=[], had_answer=True)
FETCHED = Fetched(items=[])
THROTTLED = Throttled(error="429", items=[], retry_after_seconds=None)


def after(*attempts: tuple[int, Outcome]) -> ApiState:
    """The state after attempts at batches of one list."""
    state = ApiState()
    for index, outcome in attempts:
        state = state.after((LIST, index), outcome)
    return state


def test_three_different_batches_that_fail_in_a_row_mean_that_the_api_is_down() -> None:
    """Two are not enough."""
    assert not after((0, FAILED), (1, FAILED)).is_down
    assert after((0, FAILED), (1, FAILED), (2, FAILED)).is_down


def test_one_batch_that_fails_three_times_is_its_own_fault() -> None:
    """So are two that fail by turns, however often."""
    assert not after(*[(0, FAILED), (1, FAILED)] * 10).is_down


def test_batches_of_different_lists_with_the_same_index_are_different() -> None:
    """A batch is named by its list and its index."""
    state = ApiState()
    for number in range(3):
        state = state.after((UUID(int=number), 0), FAILED)
    assert state.is_down


@pytest.mark.parametrize("answer", [FETCHED, PARTLY_FAILED])
def test_the_first_definite_answer_ends_an_outage(answer: Outcome) -> None:
    """Data or a final error for any ID is one; the counting begins anew."""
    down = after((0, FAILED), (1, FAILED), (2, FAILED))
    assert down.after((LIST, 3), answer) == ApiState()
    assert not after((0, FAILED), (1, FAILED), (7, answer), (2, FAILED)).is_down


def test_a_throttled_attempt_neither_begins_nor_ends_an_outage() -> None:
    """It says nothing of whether the API works."""
    assert not after((0, THROTTLED), (1, THROTTLED), (2, THROTTLED)).is_down
    assert after((0, FAILED), (1, FAILED), (2, FAILED), (3, THROTTLED)).is_down


@pytest.mark.parametrize(
    ("interval", "expected"), [(5.0, [5, 10, 20, 40, *[60] * 10]), (0.1, [*[0.1 * 2**n for n in range(10)], *[60] * 4])]
)
def test_the_back_off_doubles_from_the_interval_up_to_a_minute(interval: float, expected: list[float]) -> None:
    """It grows with every attempt that finds the API down, also from the shortest interval."""
    state, waits = after((0, FAILED), (1, FAILED)), []
    for index in range(2, 16):
        state = state.after((LIST, index), FAILED)
        waits.append(state.back_off_seconds(interval))
    assert waits == pytest.approx(expected)


def test_the_back_off_of_a_throttle_that_names_no_time_grows_too() -> None:
    """Each throttled answer doubles it until a definite one comes."""
    state = after((0, THROTTLED), (0, THROTTLED), (0, THROTTLED))
    assert state.back_off_seconds(5.0) == 20
    assert state.after((LIST, 0), FETCHED).after((LIST, 0), THROTTLED).back_off_seconds(5.0) == 5


def test_an_interval_longer_than_a_minute_is_the_least_back_off() -> None:
    """The wait is never shorter than the interval."""
    assert after((0, THROTTLED)).back_off_seconds(90.0) == 90


def test_failures_before_an_outage_close_the_gate_for_no_longer() -> None:
    """A batch that fails does not slow the others down."""
    assert after((0, FAILED), (1, FAILED)).back_offs == 0
