"""The judge of the soak finds what it is there to find."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from tests.soak import histogram
from tests.soak.api import Arrival
from tests.soak.callers import Ingestion
from tests.soak.fleet import Freeze
from tests.soak.verdict import Verdict, judge

WALL = 1_800_000_000.0  # what the wall clock shows at 0


def arrivals(*starts: tuple[str, float, range | list[int]]) -> list[Arrival]:
    """Requests: who, when, for which IDs."""
    return [
        Arrival(item_id=item_id, process=process, at=at, wall=WALL + at)
        for process, at, ids in starts
        for item_id in ids
    ]


def accepted(ids: range, priority: str = "LOW", *, at: float = 0.0) -> Ingestion:
    """An ingestion that was accepted as soon as it was sent."""
    name = f"{priority} {ids[0]}"
    return Ingestion(ids, priority, key=name, sent_at=at, acknowledged_at=at, ingestion_id=name)


def verdict(
    seen: Sequence[Arrival],
    *ingestions: Ingestion,
    records: Mapping[tuple[str, int], float] | None = None,
    **others: Any,  # of several types
) -> Verdict:
    """Judge a run in which everything is completed; `records` are the starters' own moments."""
    statuses = {
        one.ingestion_id: {"status": "completed", "batches": [{"ids": list(one.ids)}]} for one in ingestions
    } | others.pop("statuses", {})
    told = {
        batch: {"triggered_at": datetime.fromtimestamp(WALL + at, UTC).isoformat()}
        for batch, at in (records or {}).items()
    }
    given: dict[str, Any] = {"interval": 1.0, "log": "", "kills": 0, "freezes": [], "lease": 4.0} | others
    return judge(arrivals=seen, ingestions=ingestions, statuses=statuses, records=told, **given)


SIX = accepted(range(1, 7))
TIDY = arrivals(("a", 10.0, range(1, 4)), ("b", 11.0, range(4, 7)))


def test_a_run_as_it_should_be_has_no_problems() -> None:
    """Two batches, an interval apart, in order."""
    found = verdict(TIDY, SIX, records={(SIX.key, 0): 9.999, (SIX.key, 1): 10.999})
    assert found.problems() == []
    assert found.gaps_at_starter == [pytest.approx(1.0, abs=1e-4)]
    assert found.slots_used == pytest.approx(1.0)


def test_a_gap_is_judged_by_the_starters_clocks() -> None:
    """A late arrival makes the next gap at the API short, and nothing is wrong; a short gap of the records is."""
    seen = arrivals(("a", 10.1, range(1, 4)), ("a", 11.0, range(4, 7)))
    assert verdict(seen, SIX, records={(SIX.key, 0): 10.0, (SIX.key, 1): 11.0}).problems() == []
    assert verdict(seen, SIX, records={(SIX.key, 0): 10.0, (SIX.key, 1): 10.9}).too_close


def test_an_api_that_is_interrupted_between_its_clocks_shortens_no_gap() -> None:
    """The records' own difference is what counts."""
    first, second = TIDY[:3], [replace(one, wall=one.wall + 0.01) for one in TIDY[3:]]
    assert verdict([*first, *second], SIX, records={(SIX.key, 0): 9.999, (SIX.key, 1): 10.999}).problems() == []


def test_a_gap_without_a_record_is_judged_at_the_api() -> None:
    """A kill leaves none behind."""
    seen = arrivals(("a", 10.3, range(1, 4)), ("b", 11.0, range(4, 7)))
    assert verdict(seen, SIX, records={(SIX.key, 1): 10.999}).too_close


def test_what_was_sent_after_a_suspension_is_counted_apart() -> None:
    """The gate cannot prevent it; but it must not happen often."""
    freeze = Freeze(process="b", since=5.0, until=10.4)
    seen = arrivals(("a", 10.0, range(1, 4)), ("b", 10.5, range(4, 7)))
    found = verdict(seen, SIX, freezes=[freeze])
    assert (len(found.suspended), found.problems()) == (1, [])


NINE = accepted(range(1, 10))
SUSPENDED = (("a", 3.0, range(1, 4)), ("a", 10.0, range(4, 7)), ("b", 10.5, range(7, 10)))


@pytest.mark.parametrize(
    ("freezes", "seen"),
    [
        ([], SUSPENDED),
        ([Freeze(process="c", since=5.0, until=10.4)], SUSPENDED),
        ([Freeze(process="b", since=5.0, until=10.2)], SUSPENDED),
        ([Freeze(process="b", since=5.0, until=10.4)], (("a", 4.2, range(1, 4)), *SUSPENDED[1:])),
        ([Freeze(process="b", since=5.0, until=10.4)], (("b", 4.2, range(1, 4)), *SUSPENDED[1:])),
        ([Freeze(process="b", since=5.0, until=10.4)], (("a", 5.9, range(1, 4)), *SUSPENDED[1:])),
    ],
    ids=["no_freeze", "another_process", "long_before", "not_due", "itself_not_due", "another_had_the_gate"],
)
def test_a_freeze_that_cannot_have_come_before_the_send_excuses_nothing(
    freezes: list[Freeze], seen: Sequence[tuple[str, float, range]]
) -> None:
    """The slot must have been due, and the gate the frozen process's own."""
    excusing = Freeze(process="b", since=5.0, until=10.4)
    assert not verdict(arrivals(*SUSPENDED), NINE, freezes=[excusing]).too_close
    assert len(verdict(arrivals(*seen), NINE, freezes=freezes).too_close) == 1


def test_a_start_after_a_suspension_is_too_close_to_both_its_neighbours() -> None:
    """It is one chance all the same."""
    seen = arrivals(*SUSPENDED, ("a", 11.0, range(10, 13)))
    found = verdict(seen, accepted(range(1, 13)), freezes=[Freeze(process="b", since=5.0, until=10.4)])
    assert (len(found.suspended), found.problems()) == (1, [])


def test_suspensions_that_are_too_many_to_be_chance_are_a_problem() -> None:
    """Somebody sends without a look at the clock."""
    seen = arrivals(*SUSPENDED, ("a", 20.0, range(10, 13)), ("b", 20.5, range(13, 16)))
    freezes = [Freeze(process="b", since=since, until=since + 5.4) for since in (5.0, 15.0)]
    found = verdict(seen, accepted(range(1, 16)), freezes=freezes)
    assert (len(found.suspended), len(found.problems())) == (2, 2)


def test_a_lower_lane_must_not_overtake() -> None:
    """Unless the higher one was accepted after the last look."""
    seen = arrivals(("a", 10.0, [1, 2, 3]), ("a", 11.0, [4, 5, 6]))
    low, high = accepted(range(1, 4)), accepted(range(4, 7), "HIGH", at=1.0)
    assert verdict(seen, low, high).out_of_order
    assert not verdict(seen, low, accepted(range(4, 7), "HIGH", at=9.9)).out_of_order


def test_a_later_ingestion_must_not_overtake_in_its_lane() -> None:
    """It was sent after the other had been accepted."""
    seen = arrivals(("a", 10.0, [4, 5, 6]), ("a", 11.0, [1, 2, 3]))
    assert verdict(seen, accepted(range(1, 4), at=1.0), accepted(range(4, 7), at=2.0)).out_of_order


def test_batches_run_in_their_order() -> None:
    """Neither skipped nor gone back to."""
    assert verdict(arrivals(("a", 10.0, [4, 5, 6]), ("a", 11.0, [1, 2, 3])), SIX).out_of_order


@pytest.mark.parametrize("status", [{"status": "triggered", "batches": []}, {"status": "completed", "batches": []}])
def test_what_is_not_completed_is_lost(status: dict[str, Any]) -> None:
    """Or completed with other IDs."""
    assert verdict(TIDY, SIX, statuses={SIX.ingestion_id: status}).lost


def test_what_was_never_asked_for_is_lost() -> None:
    """Whatever its status says."""
    assert verdict(TIDY[:-1], SIX).lost


def test_a_batch_that_two_hosts_completed_is_found() -> None:
    """In what they logged."""
    assert verdict(TIDY, SIX, log="batch.completed batch_id=x a\nbatch.completed batch_id=x b\n").ended_twice


def test_repeated_starts_need_a_reason() -> None:
    """At-least-once is for kills and freezes."""
    seen = [*arrivals(("a", 9.0, range(1, 4))), *TIDY[3:], *arrivals(("a", 16.0, range(4, 7)), ("a", 17.0, [1, 2, 3]))]
    assert verdict(seen, SIX, kills=1).problems()
    assert not verdict(seen, SIX, kills=2).problems()
    assert not verdict(seen, SIX, kills=1, running=2).problems()


def test_a_batch_that_is_started_again_within_the_lease_is_found() -> None:
    """Two processes would own it."""
    seen = arrivals(("a", 10.0, [1, 2, 3]), ("b", 12.0, [1, 2, 3]), ("b", 13.0, [4, 5, 6]))
    assert verdict(seen, SIX, kills=1).repeated_early
    assert not verdict(seen, SIX, kills=1, lease=2.0).repeated_early


def test_batches_may_overlap() -> None:
    """The next one starts while those before it run, and one that crashed is started again behind them."""
    seen = arrivals(*(("a", 10.0 + n, range(3 * n + 1, 3 * n + 4)) for n in range(3)), ("b", 16.0, [4, 5, 6]))
    assert verdict(seen, accepted(range(1, 10)), kills=1).problems() == []


def test_who_takes_the_api_to_be_down_after_a_suspension_may_change_the_order() -> None:
    """Its fetches had timed out meanwhile; the rule of the fewest starts chooses then."""
    seen = arrivals(("a", 10.0, [1, 2, 3]), ("a", 11.0, [4, 5, 6]))
    lists = accepted(range(1, 4)), accepted(range(4, 7), "HIGH", at=1.0)
    freeze = Freeze(process="a", since=2.0, until=8.0)
    assert verdict(seen, *lists, freezes=[freeze]).out_of_order
    assert not verdict(seen, *lists, freezes=[freeze], down={"a"}).out_of_order
    assert verdict(seen, *lists, down={"a"}).out_of_order


def test_the_histogram_counts_every_gap_and_its_picture_is_xml() -> None:
    """An edge belongs to the range above it."""
    gaps = [0.5, 0.999, 1.0, 1.003, 7.0, 100.0]
    found = dict(zip((histogram.label(*edges) for edges in histogram.RANGES), histogram.count(gaps, 1.0), strict=True))
    expected = dict.fromkeys(("0-0.9", "0.99-1", "1-1.002", "1.002-1.005", "4-8", "8+"), 1)
    assert {name: number for name, number in found.items() if number} == expected
    picture = ET.fromstring(histogram.svg({"<a>": gaps, "b": []}, 1.0, "a & b"))  # noqa: S314 # our own
    assert picture.tag.endswith("svg")
    assert "1-1.002      1 ####" in histogram.text({"a": gaps}, 1.0)
