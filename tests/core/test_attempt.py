"""Tests of an attempt: what the answers for a batch's IDs come to together."""

import asyncio
from collections.abc import Mapping

import pytest

from ingest_core.attempt import Failed, Fetched, Held, Outcome, attempt
from ingest_core.errors import AttemptFailed, ItemRejected, SourceUnavailable
from ingest_core.models import Item
from ingest_core.rows import RESULT_BYTES

LONG = 60.0
AT_ONCE = 0.01


class Source:
    """An API with an answer for each ID: a text, an error, or (None) nothing for ever."""

    def __init__(self, answers: Mapping[int, str | Exception | None]) -> None:
        self.answers = answers

    async def fetch(self, item_id: int) -> str:
        match self.answers[item_id]:
            case None:
                return await asyncio.get_running_loop().create_future()
            case Exception() as error:
                raise error
            case answer:
                return answer

    async def close(self) -> None:
        pass


class LastFirst(Source):
    """An API that answers nobody before everybody has asked, and then the last one first."""

    def __init__(self, answers: Mapping[int, str]) -> None:
        super().__init__(answers)
        self._asking: list[asyncio.Future[None]] = []

    async def fetch(self, item_id: int) -> str:
        mine = asyncio.get_running_loop().create_future()
        self._asking.append(mine)
        if len(self._asking) == len(self.answers):
            for one in reversed(self._asking):
                one.set_result(None)
        await mine
        return await super().fetch(item_id)


async def outcome(answers: Mapping[int, str | Exception | None], *, within: float = LONG) -> Outcome:
    """What an attempt at these IDs comes to."""
    return await attempt(Source(answers), list(answers), timeout_seconds=within)


def told_to_wait(seconds: float | None) -> SourceUnavailable:
    """The API asks to wait, perhaps without saying how long."""
    return SourceUnavailable(f"429, {seconds}", retry_after_seconds=seconds)


async def test_items_come_in_the_order_of_the_ids_however_they_arrive() -> None:
    """All are asked for at once: this API would otherwise never answer."""
    async with asyncio.timeout(LONG / 4):
        found = await attempt(LastFirst({3: "30", 1: "10", 2: "20"}), [3, 1, 2], timeout_seconds=LONG)
    assert found == Fetched([Item(item_id=3, data="30"), Item(item_id=1, data="10"), Item(item_id=2, data="20")])


async def test_a_final_error_is_its_ids_result() -> None:
    """The others keep theirs."""
    found = await outcome({1: ItemRejected("404"), 2: "20"})
    assert found == Fetched([Item(item_id=1, error="404"), Item(item_id=2, data="20")])


async def test_a_failure_leaves_each_id_its_own_outcome() -> None:
    """Should this have been the last attempt, that is what the batch ends with."""
    found = await outcome({1: ItemRejected("404"), 2: AttemptFailed("500"), 3: "30"})
    assert found == Failed(
        "500", [Item(item_id=1, error="404"), Item(item_id=2, error="500"), Item(item_id=3, data="30")]
    )


async def test_the_first_failure_speaks_for_the_batch() -> None:
    """In the order of the IDs."""
    found = await outcome({2: AttemptFailed("500"), 1: AttemptFailed("502")})
    assert found == Failed("500", [Item(item_id=2, error="500"), Item(item_id=1, error="502")])


@pytest.mark.parametrize("others", [["30"], [AttemptFailed("500")], [ItemRejected("404")]])
async def test_an_api_that_asks_to_wait_holds_the_batch_whatever_else_it_says(others: list[str | Exception]) -> None:
    """For as long as any ID was told: nothing is held against the batch."""
    found = await outcome({1: told_to_wait(5), 2: told_to_wait(30), 3: others[0]})
    assert found == Held("429, 5", 30)


@pytest.mark.parametrize(("one", "two", "seconds"), [(None, None, None), (None, 7.0, 7.0), (0.0, None, 0.0)])
async def test_who_says_no_time_asks_for_none(one: float | None, two: float | None, seconds: float | None) -> None:
    """No time at all is something else than no seconds."""
    assert await outcome({1: told_to_wait(one), 2: told_to_wait(two)}) == Held(f"429, {one}", seconds)


async def test_an_id_that_is_not_answered_in_time_costs_the_attempt() -> None:
    """Each by itself: what was delivered is kept."""
    found = await outcome({1: "10", 2: None, 3: ItemRejected("404")}, within=AT_ONCE)
    late = "the source did not answer within 0.01 s"
    assert found == Failed(
        late, [Item(item_id=1, data="10"), Item(item_id=2, error=late), Item(item_id=3, error="404")]
    )


async def test_an_api_that_asks_to_wait_and_then_says_nothing_holds_the_batch() -> None:
    """It was too busy to say so to everybody."""
    assert await outcome({1: None, 2: told_to_wait(5)}, within=AT_ONCE) == Held("429, 5", 5)


async def test_an_item_may_fill_its_share_of_a_row_and_no_more() -> None:
    """The error takes no part of the others' room; the share is that of all IDs, here three."""
    share = RESULT_BYTES // 3
    found = await outcome({1: "1" * share, 2: "2" * (share + 1), 3: "3"})
    assert found == Fetched(
        [
            Item(item_id=1, data="1" * share),
            Item(item_id=2, error=f"the API's answer is larger than {share} bytes"),
            Item(item_id=3, data="3"),
        ]
    )
