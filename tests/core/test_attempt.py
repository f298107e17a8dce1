"""Tests of an attempt: what the answers for a batch's IDs come to together."""

from collections.abc import Mapping, Sequence

import pytest

from ingest_core.dispatch.attempt import Delivered, Failed, Fetched, Outcome, Throttled, attempt, delivered_by
from ingest_core.errors import AttemptFailed, ItemRejected, SourceUnavailable
from ingest_core.models import Item
from ingest_core.ports import RESULT_BYTES, Answer


class Source:
    """An API with an answer for each ID, which notes what it was asked."""

    def __init__(self, answers: Mapping[int, Answer]) -> None:
        self.answers = answers
        self.asked: list[tuple[list[int], float]] = []

    async def fetch_batch(self, ids: Sequence[int], *, timeout_seconds: float) -> Sequence[Answer]:
        self.asked.append((list(ids), timeout_seconds))
        return [self.answers[item_id] for item_id in ids]

    async def close(self) -> None:
        """Do nothing: there are no connections."""


async def outcome(answers: Mapping[int, Answer], delivered: Delivered = (None,) * 3) -> Outcome:
    """What an attempt at the three IDs comes to."""
    return await attempt(Source(answers), [1, 2, 3], delivered=delivered, timeout_seconds=10.0)


def asked_to_wait(seconds: float | None) -> SourceUnavailable:
    """The API asks to wait, perhaps without saying how long."""
    return SourceUnavailable(f"429, {seconds}", retry_after_seconds=seconds)


async def test_a_batch_is_fetched_when_every_id_has_its_data_or_a_final_error() -> None:
    """A final error is its own ID's result; the others keep theirs."""
    found = await outcome({1: ItemRejected("404"), 2: "20", 3: "30"})
    items = [Item(item_id=1, error="404"), Item(item_id=2, data="20"), Item(item_id=3, data="30")]
    assert found == Fetched(items=items)


async def test_all_ids_are_asked_for_in_one_call_within_the_time_for_them_together() -> None:
    """The source does the rest."""
    source = Source({1: "1", 2: "2", 3: "3"})
    await attempt(source, [1, 2, 3], delivered=(None,) * 3, timeout_seconds=7.5)
    assert source.asked == [([1, 2, 3], 7.5)]


async def test_a_further_attempt_asks_only_for_the_ids_that_have_no_answer_yet() -> None:
    """What was delivered keeps its place among the new answers."""
    source = Source({2: "20"})
    delivered = (Item(item_id=1, data="10"), None, Item(item_id=3, error="404"))
    found = await attempt(source, [1, 2, 3], delivered=delivered, timeout_seconds=10.0)
    assert source.asked == [([2], 10.0)]
    assert found == Fetched(items=[Item(item_id=1, data="10"), Item(item_id=2, data="20"), delivered[2]])


async def test_an_id_that_stands_twice_in_a_batch_is_asked_for_by_place() -> None:
    """Only the place that has no answer is asked for again."""
    source = Source({5: "50"})
    found = await attempt(source, [5, 5], delivered=(Item(item_id=5, data="old"), None), timeout_seconds=10.0)
    assert source.asked == [([5], 10.0)]
    assert found == Fetched(items=[Item(item_id=5, data="old"), Item(item_id=5, data="50")])


async def test_the_first_failure_in_the_order_of_the_ids_speaks_for_the_batch() -> None:
    """Each ID keeps its own outcome, in case this was the last attempt."""
    found = await outcome({1: "10", 2: AttemptFailed("500"), 3: AttemptFailed("502")})
    items = [
        Item(item_id=1, data="10"),
        Item(item_id=2, error="500", is_final=False),
        Item(item_id=3, error="502", is_final=False),
    ]
    assert found == Failed(error="500", items=items, had_answer=True)


async def test_a_failure_has_no_answer_if_only_an_earlier_attempt_had_one() -> None:
    """Whether the API is down is judged by what it answered now."""
    found = await outcome({2: AttemptFailed("500"), 3: AttemptFailed("500")}, (Item(item_id=1, data="10"), None, None))
    assert isinstance(found, Failed)
    assert not found.had_answer


async def test_a_final_error_counts_as_an_answer() -> None:
    """An API that rejects an ID is not down."""
    found = await outcome({1: ItemRejected("404"), 2: AttemptFailed("500"), 3: AttemptFailed("500")})
    assert isinstance(found, Failed)
    assert found.had_answer


@pytest.mark.parametrize("other", ["30", AttemptFailed("500"), ItemRejected("404")])
async def test_if_the_api_throttles_any_id_the_attempt_does_not_count_as_a_failure(other: Answer) -> None:
    """The longest wait that it asked for holds."""
    found = await outcome({1: asked_to_wait(5), 2: asked_to_wait(30), 3: other})
    assert isinstance(found, Throttled)
    assert (found.error, found.retry_after_seconds) == ("429, 5", 30)


@pytest.mark.parametrize(("one", "two", "seconds"), [(None, None, None), (None, 7.0, 7.0), (0.0, None, 0.0)])
async def test_no_time_is_something_else_than_no_seconds(one: float | None, two: float | None, seconds: float) -> None:
    """Where the API does not say how long, the back-off decides."""
    found = await outcome({1: asked_to_wait(one), 2: asked_to_wait(two), 3: "30"})
    assert isinstance(found, Throttled)
    assert found.retry_after_seconds == seconds


async def test_an_item_may_fill_its_share_of_a_row_and_no_more() -> None:
    """The share is that of all IDs, here three; a larger answer is a final error."""
    share = RESULT_BYTES // 3
    found = await outcome({1: "1" * share, 2: "2" * (share + 1), 3: "3"})
    items = [
        Item(item_id=1, data="1" * share),
        Item(item_id=2, error=f"the API's answer is larger than {share} bytes"),
        Item(item_id=3, data="3"),
    ]
    assert found == Fetched(items=items)


async def test_an_error_without_a_text_says_so() -> None:
    """An empty error would read as success."""
    found = await outcome({1: ItemRejected(""), 2: "20", 3: "30"})
    assert found.items[0].error == "no reason given"


def test_a_further_attempt_needs_no_id_that_has_its_data_or_a_final_error() -> None:
    """Only failures that another attempt may change are asked for again."""
    items = [Item(item_id=1, data="1"), Item(item_id=2, error="500", is_final=False), Item(item_id=3, error="404")]
    assert delivered_by(items) == (items[0], None, items[2])
