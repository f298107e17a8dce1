"""Tests of the list: newest first, each once, while ingestions arrive and end."""

from collections.abc import Awaitable, Callable
from random import Random
from typing import Any
from uuid import UUID

import pytest

from ingest_core.models import Priority, Status
from ingest_core.service.listing import Filters, Listed
from ingest_core.storage.memory import Account
from tests.support.callers import EPOCH, Desk, HandClock


@pytest.fixture
def desk() -> Desk:
    """A service in memory."""
    return Desk()


async def pages(
    desk: Desk,
    filters: Filters | None = None,
    *,
    limit: int = 2,
    between: Callable[[], Awaitable[object]] | None = None,
) -> list[list[Listed]]:
    """All pages; `between` happens before each but the first."""
    found = []
    after: str | None = ""
    while after is not None:
        if found and between:
            await between()
        page = await desk.service.list(filters or Filters(), limit=limit, after=after)
        found.append(list(page.ingestions))
        after = page.next_after
    return found


def ids(found: list[list[Listed]]) -> list[UUID]:
    """What the pages list."""
    return [listed.ingestion_id for page in found for listed in page]


async def test_open_and_closed_ingestions_come_newest_first(desk: Desk) -> None:
    """Full pages, and no empty one at the end."""
    posted = [await desk.post([number]) for number in range(6)]
    for one in posted[::2]:
        await desk.run(one)
    found = await pages(desk)
    assert ids(found) == posted[::-1]
    assert [len(page) for page in found] == [2, 2, 2]
    assert [listed.status for listed in found[0]] == [Status.YET_TO_START, Status.COMPLETED]


async def test_an_empty_list_has_one_empty_page(desk: Desk) -> None:
    """And no next one."""
    assert await pages(desk) == [[]]


def page_sizes(desk: Desk) -> list[int]:
    """How many rows each query of the two tables asks for in a page, from now on."""
    sizes: list[int] = []
    for table in (desk.storage.backlog, desk.storage.history):
        query = table.query

        def noted(
            *args: Any, query: Callable[..., Any] = query, page_size: int = 1000, **options: Any
        ) -> Any:  # as it is
            sizes.append(page_size)
            return query(*args, page_size=page_size, **options)

        object.__setattr__(table, "query", noted)
    return sizes


@pytest.mark.parametrize("closed", [30, 300])
async def test_a_page_costs_what_is_on_it(desk: Desk, closed: int) -> None:
    """A query of each table and the open ones' rows, on any page, however long the history is."""
    for number in range(closed):
        await desk.run(await desk.post([number]))
    for number in range(12):
        await desk.post([number])
    sizes = page_sizes(desk)
    after: str | None = ""
    for opened in (12, 0):
        desk.calls.clear()
        assert after is not None
        page = await desk.service.list(Filters(), limit=20, after=after)
        after = page.next_after
        assert len(page.ingestions) == 20
        assert (desk.calls.count("table.query"), desk.calls.count("table.get"), len(desk.calls)) == (
            2,
            opened,
            2 + opened,
        )
    assert sizes == [1000, 21, 1000, 21]  # of the history, no more rows than can be shown


async def test_no_page_of_a_query_has_more_rows_than_storage_gives(desk: Desk) -> None:
    """A thousand; with filters as many are looked at, whatever is asked for."""
    await desk.run(await desk.post([1]))
    sizes = page_sizes(desk)
    for filters in (Filters(), Filters(priorities=frozenset({Priority.LOW}))):
        await desk.service.list(filters, limit=100)
        await desk.service.overview()
    assert set(sizes) == {101, 1000}


async def test_nothing_is_skipped_or_shown_twice_while_ingestions_end_and_arrive(desk: Desk) -> None:
    """A page goes on behind the last row of the page before."""
    posted = [await desk.post([number]) for number in range(12)]
    order = iter((0, 10, 2, 8, 4, 6, 1, 9, 3, 7, 5, 11))

    async def change() -> None:
        await desk.run(posted[next(order)])
        await desk.run(posted[next(order)])
        await desk.post([7])

    assert ids(await pages(desk, between=change)) == posted[::-1]


@pytest.mark.parametrize("seed", range(12))
async def test_whatever_happens_at_any_call_everything_that_was_there_is_listed_once(seed: int) -> None:
    """Lists arrive, start, end, are cancelled and move before every storage call of a walk over all pages."""
    random = Random(seed)  # noqa: S311 # another order of events, no secret
    account, clock = Account(now=lambda: EPOCH), HandClock()
    other = Desk(account, clock)
    posted = [await other.post([number], random.choice(list(Priority))) for number in range(30)]
    opened = list(posted)

    async def happen() -> None:
        one = random.choice(opened)
        match random.choice(("post", "end", "end", "cancel", "move")):
            case "post":
                opened.append(await other.post([7]))
            case "end":
                await other.run(one)
                opened.remove(one)
            case "cancel":
                await other.service.cancel(one)
                opened.remove(one)
            case "move":
                await other.service.change_priority(one, random.choice(list(Priority)))

    class Disturbed(Desk):
        async def before_call(self, call: str) -> None:
            if opened and random.random() < 0.6:
                await happen()
            await super().before_call(call)

    found = await pages(Disturbed(account, clock), limit=random.choice((1, 3, 7)))
    shown = [one for one in ids(found) if one in posted]
    assert shown == posted[::-1]
    assert len(set(ids(found))) == len(ids(found))


async def test_an_ingestion_that_is_closed_between_the_two_queries_is_found_once(desk: Desk) -> None:
    """The backlog is read first."""
    one = await desk.post([1])
    table = desk.storage.history

    async def close_first(_: str) -> None:
        object.__setattr__(table, "before", desk.before_call)
        await desk.run(one)

    object.__setattr__(table, "before", close_first)
    found = await pages(desk)
    assert ids(found) == [one]
    assert found[0][0].status is Status.COMPLETED


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (Filters(statuses=frozenset({Status.COMPLETED})), [1]),
        (Filters(statuses=frozenset({Status.FAILED, Status.CANCELLED})), [3, 2]),
        (Filters(statuses=frozenset({Status.TRIGGERED})), [4]),
        (Filters(statuses=frozenset({Status.YET_TO_START, Status.COMPLETED})), [6, 5, 1]),
        (Filters(priorities=frozenset({Priority.LOW})), [6, 2]),
        (Filters(statuses=frozenset({Status.YET_TO_START}), priorities=frozenset({Priority.HIGH})), [5]),
    ],
)
async def test_filters_take_several_names(desk: Desk, filters: Filters, expected: list[int]) -> None:
    """By the present state."""
    posted = {number: await desk.post([1, 2, 3, 4], "LOW" if number in (2, 6) else "HIGH") for number in range(1, 7)}
    await desk.run(posted[1])
    await desk.run(posted[2], status=Status.FAILED)
    await desk.service.cancel(posted[3])
    await desk.start(posted[4], 0)
    assert ids(await pages(desk, filters)) == [posted[number] for number in expected]


async def test_at_most_a_thousand_rows_are_looked_at_for_a_page(desk: Desk) -> None:
    """Then a page is short, and the next one goes on."""
    oldest = await desk.post([1], "LOW")
    for number in range(1005):
        await desk.post([number])
    found = await pages(desk, Filters(priorities=frozenset({Priority.LOW})))
    assert [len(page) for page in found] == [0, 1]
    assert ids(found) == [oldest]


async def test_rows_that_cannot_be_read_are_passed_over(desk: Desk) -> None:
    """Of either table; and a backlog row whose ingestion is gone."""
    posted = [await desk.post([number]) for number in range(5)]
    await desk.run(posted[1])
    (history_row,) = desk.account.table("history").values()
    history_row.entity["status"] = "gone"
    backlog = list(desk.account.table("backlog").values())
    next(row for row in backlog if row.entity["ingestion_id"] == str(posted[2])).entity["priority"] = "x"
    del desk.account.table("ingestions")[str(posted[3]), str(posted[3])]
    assert ids(await pages(desk, limit=1)) == [posted[4], posted[0]]


async def test_a_foreign_row_is_never_what_a_page_goes_on_behind(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cursor names an ingestion; the next page would be refused."""
    monkeypatch.setattr("ingest_core.service.listing.MOST_LOOKED_AT", 2)
    for number in range(2):
        await desk.run(await desk.post([number]))
        await desk.post([number])
    for table, partition in ((desk.storage.backlog, "open"), (desk.storage.history, "9")):
        for number in range(3):
            await table.insert({"PartitionKey": partition, "RowKey": f"8-mine-{number}"})
    looked = Filters(priorities=frozenset({Priority.LOW}))
    after: str | None = ""
    while after is not None:
        page = await desk.service.list(looked, limit=1, after=after)
        after = page.next_after
        assert after is None or "mine" not in after
