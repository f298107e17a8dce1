"""Tests of the forecast: a walk slot by slot, which knows no formula, must come to the same."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest_core.models import Priority
from ingest_core.service.forecast import Forecast, Pace, Waiting, forecasts, new_list_starts_at
from ingest_core.storage.gate_row import EVERYTHING, SWITCHES, Pause

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SINCE = NOW - timedelta(days=1)


def at(seconds: float) -> datetime:
    """A moment so many seconds from now."""
    return NOW + timedelta(seconds=seconds)


def pace(**pauses: float | None) -> Pace:
    """A slot every five seconds from now on; pauses end after so many seconds, or never."""
    return Pace(
        next_slot_at=NOW,
        interval=timedelta(seconds=5),
        pauses={
            name: Pause(since=SINCE, until=None if seconds is None else at(seconds)) for name, seconds in pauses.items()
        },
    )


def queue(*waiting: tuple[str, int]) -> list[Waiting]:
    """Ingestions by lane and batches, numbered from one."""
    return [
        Waiting(ingestion_id=UUID(int=number), lane=Priority(lane), batches=batches)
        for number, (lane, batches) in enumerate(waiting, 1)
    ]


def found(waiting: list[Waiting], given_pace: Pace) -> list[tuple[int, int, float, float] | None]:
    """The forecasts in order, with their times as seconds from now."""
    return [
        None
        if one is None
        else (
            one.ingestions_ahead,
            one.batches_ahead,
            (one.starts_at - NOW).total_seconds(),
            (one.ends_at - NOW).total_seconds(),
        )
        for one in forecasts(waiting, given_pace).values()
    ]


def test_higher_lanes_go_first_and_then_the_order_of_the_queue() -> None:
    """A list starts when all that are before it have started."""
    waiting = queue(("LOW", 2), ("HIGH", 3), ("LOW", 1), ("HIGH", 1))
    assert found(waiting, pace()) == [(2, 4, 20, 25), (0, 0, 0, 10), (3, 6, 30, 30), (1, 3, 15, 15)]


def test_the_first_slot_is_the_gates_next_one() -> None:
    """A throttle moves everything."""
    throttled = replace(pace(), next_slot_at=at(100))
    assert found(queue(("HIGH", 2)), throttled) == [(0, 0, 100, 105)]


@pytest.mark.parametrize(("switch", "low"), [("HIGH", (0, 0, 0, 0)), (EVERYTHING, None)])
def test_nobody_knows_when_a_pause_without_an_end_is_over(switch: str, low: tuple | None) -> None:
    """A paused lane is left out of the sum; ALL stops every lane."""
    assert found(queue(("HIGH", 5), ("LOW", 1)), pace(**{switch: None})) == [None, low]


def test_a_pause_with_an_end_is_walked_over() -> None:
    """A lower lane runs meanwhile, and then waits for the higher one."""
    waiting = queue(("HIGH", 2), ("LOW", 4))
    assert found(waiting, pace(HIGH=12)) == [(1, 3, 15, 20), (0, 0, 0, 25)]


@pytest.mark.parametrize("batches", [2, 2**30])
def test_what_lies_behind_the_last_moment_that_there_is_is_forecast_for_that_moment(batches: int) -> None:
    """Some callers mean by the year 9999 that a pause has no end."""
    last = datetime.max.replace(tzinfo=UTC)
    end = Pause(since=SINCE, until=last - timedelta(seconds=1))
    slow = Pace(next_slot_at=NOW, interval=timedelta(hours=1), pauses={"LOW": end})
    waiting = queue(("HIGH", batches), ("LOW", batches))
    (_, low) = forecasts(waiting, slow).values()
    assert low is not None
    assert last - timedelta(seconds=1) <= low.starts_at <= low.ends_at == last
    assert new_list_starts_at(Priority.LOW, waiting, slow) == last


def test_slots_in_which_everything_is_paused_are_lost() -> None:
    """The first batch starts when the pause is over, and the others an interval after it."""
    assert found(queue(("HIGH", 2)), pace(ALL=12.5)) == [(0, 0, 12.5, 17.5)]


def test_what_has_started_all_its_batches_needs_no_slot() -> None:
    """Both times are that of the latest start, and nobody waits for it."""
    first, second = queue(("HIGH", 0), ("HIGH", 1))
    assert found([replace(first, started_at=at(-3)), second], pace()) == [(0, 0, -3, -3), (0, 0, 0, 0)]
    assert found([replace(first, started_at=at(-3))], pace(HIGH=None)) == [None]


def test_a_new_list_goes_to_the_back_of_its_lane() -> None:
    """Lists of lower lanes do not hold it up."""
    waiting = queue(("MEDIUM", 2), ("LOW", 7), ("HIGH", 1))
    assert new_list_starts_at(Priority.MEDIUM, waiting, pace()) == at(15)
    assert new_list_starts_at(Priority.HIGH, waiting, pace()) == at(5)
    assert new_list_starts_at(Priority.LOW, waiting, pace(LOW=None)) is None


def drained(waiting: list[Waiting], given_pace: Pace) -> dict[UUID, Forecast | None]:
    """Drain the queue slot by slot and write down what happens."""
    left = {one.ingestion_id: one.batches for one in waiting}
    starts: dict[UUID, list[datetime]] = {key: [] for key in left}
    ahead: dict[UUID, tuple[int, int]] = {}
    moment = given_pace.next_slot_at
    for _ in range(1000):
        opening = {lane: given_pace.opens_at(lane) for lane in Priority}
        can_start = [one for lane in Priority for one in waiting if one.lane is lane and left[one.ingestion_id]]
        can_start = [one for one in can_start if opening[one.lane] is not None]
        if not can_start:
            break
        now_open = [one for one in can_start if opening[one.lane] <= moment]
        if not now_open:
            moment = min(opening[one.lane] for one in can_start)
            continue
        key = now_open[0].ingestion_id
        ahead.setdefault(key, (len(ahead), sum(map(len, starts.values()))))
        starts[key].append(moment)
        left[key] -= 1
        moment += given_pace.interval
    return {
        key: Forecast(ingestions_ahead=ahead[key][0], batches_ahead=ahead[key][1], starts_at=when[0], ends_at=when[-1])
        if when
        else None
        for key, when in starts.items()
    }


ENDS = st.integers(1, 400).map(lambda quarters: quarters / 4)


@given(
    st.lists(st.tuples(st.sampled_from(list(Priority)), st.integers(1, 12)), max_size=8),
    st.dictionaries(st.sampled_from([str(one) for one in SWITCHES]), st.none() | ENDS, max_size=4),
    st.integers(0, 50),
)  # fmt: skip
def test_the_forecast_is_what_happens(
    waiting: list[tuple[str, int]], pauses: dict[str, float | None], first: int
) -> None:
    """For any backlog and any pauses, if nothing else arrives and nothing fails."""
    given_pace = replace(pace(**pauses), next_slot_at=at(first))
    listed = queue(*waiting)
    assert forecasts(listed, given_pace) == drained(listed, given_pace)
    for lane in Priority:
        newcomer = Waiting(ingestion_id=UUID(int=99), lane=lane, batches=1)
        happened = drained([*listed, newcomer], given_pace)[newcomer.ingestion_id]
        assert new_list_starts_at(lane, listed, given_pace) == (happened.starts_at if happened else None)


def test_a_backlog_of_ten_thousand_lists_is_no_work() -> None:
    """A step for each list, however many batches: 33 million slots are not walked one by one."""
    waiting = queue(*[("LOW", 3333)] * 10_000)
    last = forecasts(waiting, pace())[UUID(int=10_000)]
    assert last
    assert (last.ingestions_ahead, last.batches_ahead) == (9999, 9999 * 3333)
