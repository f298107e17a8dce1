"""Tests of accepting lists and of reading what became of them, and of what it costs in storage calls."""

import asyncio
import json
from uuid import UUID

import pytest

from ingest_core.api import handlers as api
from ingest_core.errors import KeyReused, StorageUnavailable, UnknownIngestion, UnreadableRow
from ingest_core.models import Item, Priority, Status
from ingest_core.service.service import PAGE_BYTES
from ingest_core.storage.backlog import PARTITION_KEY
from tests.support.callers import Desk


@pytest.fixture
def desk() -> Desk:
    """A service in memory."""
    return Desk()


def backlog_rows(desk: Desk) -> list[dict]:
    """The backlog's rows as they are stored."""
    return [dict(stored.entity) for stored in desk.account.table("backlog").values()]


@pytest.mark.parametrize("count", [1, 3, 100_000])
async def test_accepting_costs_three_storage_calls(desk: Desk, count: int) -> None:
    """However many IDs; the row goes before the message and the backlog row."""
    one = await desk.post(range(1, count + 1), "LOW", label="July")
    assert desk.calls[0] == "table.insert"
    assert sorted(desk.calls[1:]) == ["queue.put", "table.insert"]
    (row,) = backlog_rows(desk)
    assert (row["PartitionKey"], row["ingestion_id"], row["label"]) == (PARTITION_KEY, str(one), "July")
    assert (row["priority"], row["batches_left"]) == ("LOW", -(-count // 3))


async def test_the_message_and_the_backlog_row_are_written_at_the_same_time(desk: Desk) -> None:
    """Accepting takes two round trips: each of the two calls is under way while the other one begins."""
    both = asyncio.Barrier(2)

    async def meet(_: str) -> None:
        await asyncio.wait_for(both.wait(), 10)

    for client in (desk.storage.backlog, desk.storage.lanes[Priority.HIGH]):
        object.__setattr__(client, "before", meet)
    await desk.post([1])
    assert (len(backlog_rows(desk)), len(desk.texts("ingest-high"))) == (1, 1)


@pytest.mark.parametrize("count", [1, 100_000])
async def test_a_status_costs_one_storage_call(desk: Desk, count: int) -> None:
    """A point read, however many batches."""
    one = await desk.post(range(1, count + 1))
    desk.calls.clear()
    await desk.call(api.status, ingestion_id=one)
    assert desk.calls == ["table.get"]


async def test_a_new_ingestion_has_not_started(desk: Desk) -> None:
    """Its batches are consecutive slices with IDs of their own."""
    one = await desk.post([5, 4, 3, 2, 1], "LOW")
    status = (await desk.call(api.status, ingestion_id=one)).json
    assert (status["ingestion_id"], status["status"], status["priority"]) == (str(one), "yet_to_start", "LOW")
    assert [batch["ids"] for batch in status["batches"]] == [[5, 4, 3], [2, 1]]
    assert {batch["status"] for batch in status["batches"]} == {"yet_to_start"}
    assert len({UUID(batch["batch_id"]) for batch in status["batches"]}) == 2


async def test_a_hundred_thousand_ids_come_back_as_they_were_sent(desk: Desk) -> None:
    """They are stored in several properties and put together again."""
    ids = [(i * 7919) % 1_000_000_007 + 1 for i in range(100_000)]
    status = await desk.call(api.status, ingestion_id=await desk.post(ids))
    assert [item for batch in status.json["batches"] for item in batch["ids"]] == ids


async def test_counts_and_batches_agree_whatever_has_happened(desk: Desk) -> None:
    """Batches start in order, and end in any."""
    one = await desk.post(range(1, 22))
    await desk.run(one, 0)
    await desk.run(one, 1, status=Status.FAILED)
    for index in (2, 3, 4):
        await desk.start(one, index)
    await desk.wait(one, 2)
    await desk.end(one, 3)
    status = (await desk.call(api.status, ingestion_id=one)).json
    shown = [batch["status"] for batch in status["batches"]]
    assert shown == ["completed", "failed", "triggered", "completed", "triggered", "yet_to_start", "yet_to_start"]
    counted = {name: shown.count(name) for name in Status}
    assert status["counts"] == {"ids": 21, "errors": 3, "batches": 7, **counted}
    flights = [(flight["batch_id"], flight["running"], flight["error"]) for flight in status["in_flight"]]
    assert flights == [
        (status["batches"][2]["batch_id"], False, "boom"),
        (status["batches"][4]["batch_id"], True, None),
    ]


async def test_an_unknown_ingestion_is_refused_by_every_call(desk: Desk) -> None:
    """And nothing is written."""
    nobody = UUID("00000000-0000-4000-8000-000000000000")
    service = desk.service
    calls = [
        service.summary(nobody), service.whole(nobody), service.batches(nobody, cursor=0, limit=1),
        service.results(nobody, cursor=0, limit=1), service.all_results(nobody, cursor=0), service.retry(nobody),
        service.cancel(nobody), service.change_priority(nobody, Priority.LOW),
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(UnknownIngestion):
            await call
    assert set(desk.calls) == {"table.get"}


async def test_the_same_key_and_values_give_the_same_ingestion(desk: Desk) -> None:
    """And no second one, also after it has ended: then nothing is written at all."""
    one = await desk.post([1, 2], key="k")
    assert await desk.post([1, 2], key="k") == one
    await desk.run(one)
    desk.calls.clear()
    assert await desk.post([1, 2], key="k") == one
    assert desk.calls == ["table.insert", "table.get"]
    assert backlog_rows(desk) == []


@pytest.mark.parametrize("other", [{"ids": [1, 3]}, {"priority": "LOW"}, {"label": "other"}])
async def test_the_same_key_with_other_values_is_refused(desk: Desk, other: dict) -> None:
    """And leaves nothing behind."""
    await desk.post([1, 2], key="k")
    with pytest.raises(KeyReused):
        await desk.post(**{"ids": [1, 2], "priority": "HIGH", "key": "k", **other})
    assert len(desk.texts("ingest-high")) == 1
    assert len(backlog_rows(desk)) == 1


async def test_a_key_means_what_was_first_posted(desk: Desk) -> None:
    """A change of priority changes nothing in that."""
    one = await desk.post([1, 2], key="k")
    await desk.service.change_priority(one, Priority.LOW)
    assert await desk.post([1, 2], key="k") == one
    with pytest.raises(KeyReused):
        await desk.post([1, 2], "LOW", key="k")
    assert len(desk.texts("ingest-low")) == 1


async def test_a_key_whose_list_has_lost_its_ids_is_not_accepted_again(desk: Desk) -> None:
    """It could never start."""
    one = await desk.post([1, 2], key="k")
    await desk.storage.ingestions.merge({"PartitionKey": str(one), "RowKey": str(one), "ids_00": b""}, etag=None)
    with pytest.raises(UnreadableRow):
        await desk.post([1, 2], key="k")
    assert len(desk.texts("ingest-high")) == 1


@pytest.mark.parametrize("lost", ["message", "backlog row", "both"])
async def test_a_repeat_completes_what_its_first_caller_has_left(desk: Desk, lost: str) -> None:
    """The first caller may have died between the row and the rest."""
    one = await desk.post([1], key="k")
    if lost != "backlog row":
        desk.account.queue("ingest-high").clear()
    if lost != "message":
        desk.account.table("backlog").clear()
    assert await desk.post([1], key="k") == one
    assert len(backlog_rows(desk)) == 1
    assert len(desk.texts("ingest-high")) == (2 if lost == "backlog row" else 1)


@pytest.mark.parametrize("fails", ["queue.put", "table.insert"])
@pytest.mark.parametrize("when", ["before", "after"])
async def test_nothing_is_accepted_before_all_three_are_written(desk: Desk, fails: str, when: str) -> None:
    """The caller learns of a failure of any, and a repeat makes it good."""
    getattr(desk, when)[fails] = StorageUnavailable("storage cannot be reached")
    with pytest.raises(StorageUnavailable):
        await desk.post([1], key="k")
    one = await desk.post([1], key="k")
    assert [row["ingestion_id"] for row in backlog_rows(desk)] == [str(one)]
    assert all(json.loads(text)["ingestion_id"] == str(one) for text in desk.texts("ingest-high"))
    assert 1 <= len(desk.texts("ingest-high")) <= 2


async def test_a_caller_who_asks_again_and_again_leaves_two_messages(desk: Desk) -> None:
    """Each one more would have to be swept away in a slot that others wait for."""
    one = await desk.post([1], key="k")
    for _ in range(20):
        assert await desk.post([1], key="k") == one
    assert len(desk.texts("ingest-high")) == 2


async def test_a_list_that_starts_while_its_message_is_put_again_keeps_its_place(desk: Desk) -> None:
    """Only a list that was not touched since counts as queued anew."""
    one = await desk.post([1], key="k")
    queued_at = (await desk.read(one)).queued_at

    async def start(_: str) -> None:
        await Desk(desk.account, desk.clock).start(one, 0)

    object.__setattr__(desk.storage.lanes[Priority.HIGH], "before", start)
    assert await desk.post([1], key="k") == one
    assert (await desk.read(one)).queued_at == queued_at


async def test_a_caller_who_asks_again_after_the_first_start_leaves_no_second_message(desk: Desk) -> None:
    """It was dispatched, so it has one. What is being cancelled needs none."""
    one = await desk.post([1, 2, 3, 4], key="k")
    await desk.start(one, 0)
    assert await desk.post([1, 2, 3, 4], key="k") == one
    await desk.service.cancel(one)
    assert await desk.post([1, 2, 3, 4], key="k") == one
    assert len(desk.texts("ingest-high")) == 1


@pytest.mark.parametrize(("is_cancelled", "messages"), [(False, 1), (True, 0)])
async def test_a_repeat_completes_a_change_of_priority_that_broke_off(
    desk: Desk, *, is_cancelled: bool, messages: int
) -> None:
    """The message is put into the new lane, unless a cancel was asked for: then nothing more starts."""
    one = await desk.post([1, 2, 3, 4], key="k")
    await desk.start(one, 0)
    desk.before["queue.put"] = StorageUnavailable("storage cannot be reached")
    with pytest.raises(StorageUnavailable):
        await desk.service.change_priority(one, Priority.LOW)
    if is_cancelled:
        await desk.service.cancel(one)
    assert await desk.post([1, 2, 3, 4], key="k") == one
    assert len(desk.texts("ingest-low")) == messages
    assert (await desk.read(one)).is_queued is not is_cancelled


async def test_records_say_how_each_batch_went(desk: Desk) -> None:
    """In pages, the batches that have not ended included."""
    one = await desk.post(range(1, 11))
    await desk.run(one, 0)
    await desk.start(one, 1)
    await desk.wait(one, 1)
    page = await desk.call(api.batches, ingestion_id=one, query="limit=3")
    first, second, third = page.json["batches"]
    assert page.headers["Link"] == f'</status/{one}/batches?cursor=3&limit=3>; rel="next"'
    assert (first["status"], first["attempts"], first["error"]) == ("completed", 1, None)
    assert first["triggered_at"] <= first["completed_at"]
    assert (second["status"], second["attempts"], second["error"]) == ("triggered", 1, "boom")
    assert (second["completed_at"], third["triggered_at"]) == (None, None)
    assert (third["status"], third["attempts"]) == ("yet_to_start", 0)
    last = await desk.call(api.batches, ingestion_id=one, query="limit=3&cursor=3")
    assert [batch["ids"] for batch in last.json["batches"]] == [[10]]
    assert "Link" not in last.headers


async def test_results_never_pass_a_batch_that_has_not_ended(desk: Desk) -> None:
    """Else who reads page after page would never see that batch's results."""
    one = await desk.post(range(1, 13))
    await desk.start(one, 0)
    await desk.start(one, 1)
    await desk.run(one, 2)
    page = await desk.service.results(one, cursor=0, limit=10)
    assert (page.items, page.next_cursor, page.has_more, page.is_complete) == ([], 0, False, False)
    await desk.end(one, 0, Item(item_id=1, data="1"), Item(item_id=2, error="gone"), Item(item_id=3, data="3"))
    page = await desk.service.results(one, cursor=0, limit=10)
    assert [item.item_id for item in page.items] == [1, 2, 3]
    assert (page.next_cursor, page.has_more) == (1, False)
    await desk.end(one, 1)
    page = await desk.service.results(one, cursor=1, limit=1)
    assert ([item.item_id for item in page.items], page.next_cursor, page.has_more) == ([4, 5, 6], 2, True)


async def test_results_of_a_cancelled_ingestion_end_with_its_last_record(desk: Desk) -> None:
    """Thousands of batches that never ran are not offered page after page."""
    one = await desk.post(range(1, 10_000))
    await desk.run(one, 0)
    await desk.start(one, 1)
    await desk.wait(one, 1)
    await desk.run(one, 2)
    await desk.service.cancel(one)
    page = await desk.service.results(one, cursor=0, limit=1000)
    assert [item.item_id for item in page.items] == [1, 2, 3, 7, 8, 9]
    assert (page.has_more, page.is_complete) == (False, True)


async def test_a_page_of_results_ends_when_it_is_large(desk: Desk) -> None:
    """An answer is held in memory whole; the one without a limit may be larger."""
    one = await desk.post(range(1, 10))
    text = json.dumps("x" * (PAGE_BYTES // 2))
    for index in range(3):
        await desk.start(one, index)
        await desk.end(one, index, Item(item_id=index + 1, data=text))
    page = await desk.service.results(one, cursor=0, limit=1000)
    assert ([item.item_id for item in page.items], page.next_cursor, page.has_more) == ([1, 2], 2, True)
    rest = await desk.service.results(one, cursor=2, limit=1000)
    assert ([item.item_id for item in rest.items], rest.has_more, rest.is_complete) == ([3], False, True)
    whole = await desk.service.all_results(one, cursor=0)
    assert ([item.item_id for item in whole.items], whole.is_complete) == ([1, 2, 3], True)
