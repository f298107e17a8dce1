"""Tests of what callers may ask for, and of what it costs in storage calls."""

import json
from collections.abc import Sequence
from uuid import UUID

import pytest

from ingest_core.errors import AttemptFailed, ItemRejected, Problem
from ingest_core.models import Status
from ingest_core.rows import RESULT_BYTES, batch_row_key
from ingest_core.service import Page
from tests.support.fakes import Host


@pytest.fixture
def host() -> Host:
    """A service in memory."""
    return Host()


async def drain(host: Host) -> None:
    """Tick until nothing is left to do."""
    while any(host.texts(f"ingest-{lane}") for lane in ("high", "medium", "low")):
        await host.tick()
        host.clock.seconds += 1


@pytest.mark.parametrize("count", [1, 3, 100_000])
async def test_accepting_costs_two_storage_calls(host: Host, count: int) -> None:
    """However many IDs; the row goes before the message."""
    await host.post(range(1, count + 1))
    assert host.calls == ["table.insert", "queue.put"]


@pytest.mark.parametrize("count", [1, 100_000])
async def test_a_status_costs_one_storage_call(host: Host, count: int) -> None:
    """A point read, however many batches."""
    one = await host.post(range(1, count + 1))
    host.calls.clear()
    await host.status(one)
    assert host.calls == ["table.get"]


async def test_a_new_ingestion_has_not_started(host: Host) -> None:
    """Its batches are consecutive slices with IDs of their own."""
    one = await host.post([5, 4, 3, 2, 1], "LOW")
    status = await host.status(one)
    assert (status["ingestion_id"], status["status"], status["priority"]) == (one, "yet_to_start", "LOW")
    assert [batch["ids"] for batch in status["batches"]] == [[5, 4, 3], [2, 1]]
    assert {batch["status"] for batch in status["batches"]} == {"yet_to_start"}
    assert len({UUID(batch["batch_id"]) for batch in status["batches"]}) == 2
    assert status["counts"] == {
        "ids": 5, "errors": 0, "batches": 2, "yet_to_start": 2, "triggered": 0, "completed": 0, "failed": 0,
    }  # fmt: skip


async def test_a_hundred_thousand_ids_come_back_as_they_were_sent(host: Host) -> None:
    """They are stored in several properties and put together again."""
    ids = [(i * 7919) % 1_000_000_007 + 1 for i in range(100_000)]
    status = await host.status(await host.post(ids))
    assert [item for batch in status["batches"] for item in batch["ids"]] == ids


async def test_a_status_in_the_middle_shows_the_cursor(host: Host) -> None:
    """Counts and batches agree."""
    one = await host.post(range(1, 10))

    async def look(_: int) -> None:
        status = await host.status(one)
        assert [batch["status"] for batch in status["batches"]] == ["triggered", "yet_to_start", "yet_to_start"]
        assert status["counts"]["triggered"] == 1
        assert status["in_flight"]["batch_id"] == status["batches"][0]["batch_id"]

    host.source.on_fetch = look
    await host.tick()
    assert host.source.fetched


UUID_TEXT = "00000000-0000-4000-8000-000000000000"


@pytest.mark.parametrize(
    "unknown", ["", "x", UUID_TEXT, f"{{{UUID_TEXT}}}", UUID_TEXT.replace("-", ""), "a/b", "\ud800"]
)
async def test_an_unknown_ingestion_is_404(host: Host, unknown: str) -> None:
    """A malformed ID is just unknown."""
    page = Page(cursor=0, limit=1)
    service = host.core.context.service
    calls = [service.status(unknown), service.batches(unknown, page), service.results(unknown, page)]
    for call in [*calls, service.retry(unknown)]:
        with pytest.raises(Problem) as caught:
            await call
        assert caught.value.status == 404


async def test_the_same_key_and_values_give_the_same_ingestion(host: Host) -> None:
    """And no second one, also after it has finished."""
    one = await host.post([1, 2], key="k")
    assert await host.post([1, 2], key="k") == one
    await drain(host)
    assert await host.post([1, 2], key="k") == one
    await drain(host)
    assert host.source.ids() == [1, 2]


async def test_the_same_key_with_other_values_is_409(host: Host) -> None:
    """And leaves nothing behind."""
    await host.post([1, 2], key="k")
    with pytest.raises(Problem) as caught:
        await host.post([1, 3], key="k")
    assert caught.value.status == 409
    assert len(host.texts("ingest-high")) == 1


async def test_a_row_without_a_message_gets_one_when_the_caller_tries_again(host: Host) -> None:
    """The first caller may have died between the two writes."""
    one = await host.post([1], key="k")
    host.account.queue("ingest-high").clear()
    assert await host.post([1], key="k") == one
    assert len(host.texts("ingest-high")) == 1


async def test_a_caller_who_asks_again_and_again_leaves_two_messages(host: Host) -> None:
    """Each one more would have to be swept away in a slot that others wait for."""
    one = await host.post([1], key="k")
    for _ in range(20):
        host.clock.seconds += 1
        assert await host.post([1], key="k") == one
    assert len(host.texts("ingest-high")) == 2
    await host.post([2])
    await host.ticks(3)
    assert host.source.ids() == [1, 2]
    assert not host.texts("ingest-high")


async def test_a_caller_who_asks_again_after_the_first_start_leaves_no_second_message(host: Host) -> None:
    """It was dispatched, so it has one."""
    one = await host.post([1, 2, 3, 4], key="k")
    await host.tick()
    assert await host.post([1, 2, 3, 4], key="k") == one
    assert len(host.texts("ingest-high")) == 1


async def test_records_tell_how_each_batch_went(host: Host) -> None:
    """In pages, the batches that have not ended included."""
    host.source.answers[4] = [AttemptFailed("boom")]
    one = await host.post(range(1, 11))
    await host.ticks(2)
    service = host.core.context.service
    page = await service.batches(one, Page(cursor=0, limit=3))
    first, second, third = map(json.loads, page.lines)
    assert page.next_cursor == 3
    assert (first["status"], first["attempts"], first["error"]) == ("completed", 1, None)
    assert first["triggered_at"] <= first["completed_at"]
    assert (second["status"], second["attempts"], second["error"], second["completed_at"]) == (
        "triggered", 1, "boom", None,
    )  # fmt: skip
    assert (third["status"], third["attempts"], third["triggered_at"]) == ("yet_to_start", 0, None)
    last = await service.batches(one, Page(cursor=3, limit=3))
    assert [json.loads(line)["ids"] for line in last.lines] == [[10]]
    assert last.next_cursor is None


async def test_results_come_in_the_order_of_the_request(host: Host) -> None:
    """Also the errors, for the batches that have ended so far."""
    host.source.answers[2] = [ItemRejected("gone")]
    one = await host.post([3, 2, 1, 9, 8, 7, 6])
    await host.ticks(2)
    page = await host.core.context.service.results(one, Page(cursor=0, limit=10))
    assert [json.loads(line) for line in page.lines] == [
        {"id": 3, "data": {"id": 3}}, {"id": 2, "error": "gone"}, {"id": 1, "data": {"id": 1}},
        {"id": 9, "data": {"id": 9}}, {"id": 8, "data": {"id": 8}}, {"id": 7, "data": {"id": 7}},
    ]  # fmt: skip
    assert page.next_cursor is None


async def test_a_page_of_results_ends_when_it_is_large(host: Host) -> None:
    """An answer is held in memory whole."""
    one = await host.post(range(1, 13))

    async def large(item_id: int) -> str:
        return json.dumps("x" * (RESULT_BYTES // 3 - 20 - item_id))

    host.source.fetch = large
    await drain(host)
    service = host.core.context.service
    table, asked = host.core.storage.ingestions, []
    query = table.query

    def note(equal: dict, *, row_keys: tuple[str, str], select: Sequence[str], page_size: int) -> object:
        if not select:
            asked.append((row_keys, page_size))
        return query(equal, row_keys=row_keys, select=select, page_size=page_size)

    object.__setattr__(table, "query", note)
    pages, cursor = [], 0
    while cursor is not None:
        page = await service.results(one, Page(cursor=cursor, limit=1000))
        pages.append(page.lines)
        cursor = page.next_cursor
    assert len(pages) == 2
    keys = [batch_row_key(index) for index in (0, 3, 4)]
    assert asked == [((keys[0], keys[1]), 3), ((keys[1], keys[2]), 1)]  # nothing that the answer does not hold
    assert [json.loads(line)["id"] for lines in pages for line in lines] == list(range(1, 13))


async def test_failed_batches_are_retried_as_a_new_ingestion(host: Host) -> None:
    """A terminal state stays final; the same call twice gives the same ingestion."""
    host.source.answers[5] = [AttemptFailed("boom")] * 5
    one = await host.post(range(1, 8), "LOW")
    await drain(host)
    service = host.core.context.service
    two = str(await service.retry(one))
    assert str(await service.retry(one)) == two
    await drain(host)
    status = await host.status(two)
    assert (status["retry_of"], status["priority"], status["status"]) == (one, "LOW", "completed")
    assert [batch["ids"] for batch in status["batches"]] == [[4, 5, 6]]
    assert (await host.status(one))["status"] == Status.FAILED


async def test_there_must_be_something_to_retry(host: Host) -> None:
    """Neither a running nor a completed ingestion can be retried."""
    one = await host.post([1])
    for _ in range(2):
        with pytest.raises(Problem) as caught:
            await host.core.context.service.retry(one)
        assert caught.value.status == 409
        await drain(host)
