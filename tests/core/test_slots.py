"""Tests of the rate gate's policy: a view and a time give a decision."""

from hypothesis import given
from hypothesis import strategies as st

from ingest_core.slots import Busy, GateRow, Incumbent, Observer, Take, Wait, decide, due

ROW = GateRow(slot=7, token="t", hold_seconds=20)


def incumbent(free_at: float) -> Incumbent:
    """This process, free again at a moment."""
    return Incumbent(row=ROW, etag="e", free_at=free_at)


def observer(first_seen: float, hold_seconds: float) -> Observer:
    """Another process's version."""
    return Observer(row=GateRow(slot=7, token="t", hold_seconds=hold_seconds), etag="e", first_seen=first_seen)


def test_the_incumbent_waits_for_no_one_else() -> None:
    """Its own last start is all that it has to know."""
    assert due(incumbent(105), interval=5) == 105
    assert decide(incumbent(105), now=106, interval=5, lead=0.1) == Take(105)


def test_an_observer_waits_for_the_hold_from_when_it_first_saw_it() -> None:
    """A version may have been written long before, but never after it was seen."""
    assert due(observer(100, hold_seconds=20), interval=5) == 120


def test_an_observer_waits_for_an_interval_at_least() -> None:
    """A gate that was given back late says nothing of when the start was."""
    assert due(observer(100, hold_seconds=0.2), interval=5) == 105


def test_a_slot_is_prepared_within_the_lead() -> None:
    """Looking, taking and marking happen before the slot is due, the start when it is."""
    assert decide(incumbent(105), now=104.95, interval=5, lead=0.1) == Take(105)


def test_a_tick_waits_until_shortly_before_the_slot() -> None:
    """It does not skip a slot that is near: that would halve the rate."""
    assert decide(incumbent(105), now=100.5, interval=5, lead=0.5) == Wait(4.0)


def test_a_tick_waits_ten_seconds_at_most() -> None:
    """For a slot that is further off a later tick looks again."""
    assert decide(incumbent(110), now=100, interval=5, lead=0) == Wait(10)
    assert decide(incumbent(110.001), now=100, interval=5, lead=0) == Busy()


@given(st.floats(0, 1e6), st.floats(0, 100), st.floats(0.1, 100), st.floats(0, 1e6))
def test_no_decision_lets_anybody_start_early(seen: float, hold: float, interval: float, now: float) -> None:
    """Whatever the numbers, a take names a moment that is an interval after the version was seen."""
    match decide(observer(seen, hold), now=now, interval=interval, lead=0.4):
        case Take(at):
            assert at >= seen + interval
            assert at >= seen + hold
        case Wait(seconds):
            assert 0 < seconds <= 10
        case Busy():
            assert now < seen + max(hold, interval)
