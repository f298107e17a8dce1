"""Tests of retries: which IDs are tried again, and that repeats and races make one."""

import asyncio
from contextlib import suppress
from uuid import UUID, uuid5

import pytest

from ingest_core.errors import NotEnded, NothingToRetry, StorageUnavailable
from ingest_core.models import Item, Priority, Status
from ingest_core.service.retrying import KEYS
from tests.support.callers import Desk


@pytest.fixture
def desk() -> Desk:
    """A service in memory."""
    return Desk()


async def retry(desk: Desk, ingestion_id: UUID) -> UUID:
    """The ID of the retry."""
    return (await desk.service.retry(ingestion_id)).ingestion_id


async def ids_of(desk: Desk, ingestion_id: UUID) -> list[int]:
    """The IDs of an ingestion."""
    return (await desk.service.whole(ingestion_id))[1]


async def test_what_has_neither_data_nor_a_final_error_is_tried_again(desk: Desk) -> None:
    """A new ingestion with the same label, at the present priority; the old one stays as it ended."""
    one = await desk.post(range(1, 10), "HIGH", label="July")
    await desk.run(one, 0)
    await desk.start(one, 1)
    mixed = (
        Item(item_id=4, data="4"),
        Item(item_id=5, error="404"),
        Item(item_id=6, error="500", is_final=False),
    )
    await desk.end(one, 1, *mixed, status=Status.FAILED)
    await desk.service.change_priority(one, Priority.LOW)
    await desk.run(one, 2, status=Status.FAILED)
    two = await desk.service.retry(one)
    assert await ids_of(desk, two.ingestion_id) == [6, 7, 8, 9]
    assert (two.label, two.priority, two.retry_of, two.status) == ("July", Priority.LOW, one, Status.YET_TO_START)
    assert two.ingestion_id == uuid5(KEYS, f"retry:{one}")
    assert (await desk.read(one)).status is Status.FAILED
    assert len(desk.texts("ingest-low")) == 2


async def test_of_a_cancelled_ingestion_also_what_never_ran_is_tried(desk: Desk) -> None:
    """In the order of the list: failed, waiting and never started batches."""
    one = await desk.post([*range(1, 13), 7])
    await desk.run(one, 0, status=Status.FAILED)
    await desk.run(one, 1)
    await desk.start(one, 2)
    await desk.wait(one, 2)
    await desk.service.cancel(one)
    assert await ids_of(desk, await retry(desk, one)) == [1, 2, 3, 7, 8, 9, 10, 11, 12, 7]


async def test_a_failed_record_without_items_stands_for_all_its_ids(desk: Desk) -> None:
    """Such as that of a batch whose host died again and again."""
    one = await desk.post([1, 2, 3])
    await desk.run(one, status=Status.FAILED)
    row = desk.account.table("ingestions")[str(one), "batch-00000000"].entity
    del row["result_00"], row["result_bytes"]
    assert await ids_of(desk, await retry(desk, one)) == [1, 2, 3]


async def test_a_retry_that_runs_is_the_answer_whoever_asks(desk: Desk) -> None:
    """A repeat makes no second one, and changes no priority that a person has set."""
    one = await desk.post([1, 2, 3])
    await desk.run(one, status=Status.FAILED)
    two = await retry(desk, one)
    await desk.service.change_priority(two, Priority.MEDIUM)
    assert await retry(desk, one) == await retry(desk, two) == two
    assert (await desk.read(one)).retries == 1


async def test_retries_form_a_chain_in_which_the_last_one_is_retried(desk: Desk) -> None:
    """Each asks only for what the one before has left; when nothing is left, the last one is the answer."""
    one = await desk.post([1, 2, 3])
    await desk.run(one, status=Status.FAILED)
    two = await retry(desk, one)
    await desk.run(two, status=Status.FAILED)
    three = await retry(desk, one)
    assert three == uuid5(KEYS, f"retry:{one}:2")
    assert (await desk.read(three)).retry_of == one
    await desk.run(three)
    for member in (one, two, three):
        assert await retry(desk, member) == three
    assert (await desk.read(one)).retries == 2


async def test_there_must_be_something_to_retry(desk: Desk) -> None:
    """Neither a running ingestion nor a completed one can be retried, nor one whose errors are final."""
    one = await desk.post([1, 2, 3])
    with pytest.raises(NotEnded):
        await retry(desk, one)
    await desk.start(one, 0)
    await desk.end(one, 0, *(Item(item_id=n, error="404") for n in (1, 2, 3)))
    with pytest.raises(NothingToRetry):
        await retry(desk, one)


async def test_two_callers_at_once_make_one_retry(desk: Desk) -> None:
    """On two hosts, both of which find none."""
    one = await desk.post([1, 2, 3])
    await desk.run(one, status=Status.FAILED)
    other = Desk(desk.account, desk.clock)
    first, second = await asyncio.gather(retry(desk, one), retry(other, one))
    assert first == second
    assert (await desk.read(one)).retries == 1


@pytest.mark.parametrize("call", ["queue.put", "table.insert", "table.merge"])
@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_retry_that_broke_off_is_completed_by_the_next_caller(desk: Desk, call: str, when: str) -> None:
    """Wherever: the same ingestion, with a message and a backlog row."""
    one = await desk.post([1, 2, 3])
    await desk.run(one, status=Status.FAILED)
    getattr(desk, when)[call] = StorageUnavailable("storage cannot be reached")
    with suppress(StorageUnavailable):
        await retry(desk, one)
    two = await retry(desk, one)
    assert two == uuid5(KEYS, f"retry:{one}")
    assert (await desk.read(one)).retries == 1
    assert [row.ingestion_id for row in await desk.backlog.everything()] == [two]
    assert any(str(two) in text for text in desk.texts("ingest-high"))


async def test_a_retry_of_a_list_whose_priority_was_changed_since_is_the_same_one(desk: Desk) -> None:
    """Its caller may have died before it was counted, so that the next one accepts it again, with other values."""
    one = await desk.post([1, 2, 3])
    await desk.run(one, status=Status.FAILED)
    dying = Desk(desk.account, desk.clock)

    async def die(call: str) -> None:
        if call == "table.merge":
            raise StorageUnavailable("the process is gone")

    object.__setattr__(dying.storage.ingestions, "before", die)
    with pytest.raises(StorageUnavailable):
        await retry(dying, one)
    (two,) = [row.ingestion_id for row in await desk.backlog.everything()]
    await desk.service.change_priority(two, Priority.LOW)
    assert await retry(desk, one) == two
    assert ((await desk.read(one)).retries, (await desk.read(two)).priority) == (1, Priority.LOW)


async def test_a_chain_goes_on_without_its_first_ingestion(desk: Desk) -> None:
    """Retention deletes the oldest first."""
    one = await desk.post([1, 2, 3])
    await desk.run(one, status=Status.FAILED)
    two = await retry(desk, one)
    await desk.run(two, status=Status.FAILED)
    del desk.account.table("ingestions")[str(one), str(one)]
    three = await retry(desk, two)
    assert three not in (one, two)
    assert await retry(desk, three) == await retry(desk, two) == three


async def test_a_chain_goes_on_without_its_last_ingestion(desk: Desk) -> None:
    """Whoever deleted it, the first one still exists and can be retried."""
    one = await desk.post([1, 2, 3])
    await desk.run(one, status=Status.FAILED)
    two = await retry(desk, one)
    del desk.account.table("ingestions")[str(two), str(two)]
    three = await retry(desk, one)
    assert three not in (one, two)
    assert await ids_of(desk, three) == [1, 2, 3]


async def test_many_failed_batches_far_apart_are_found(desk: Desk) -> None:
    """Their records are read in three spans: the sizes, then the rows, each with a look for more."""
    one = await desk.post(range(1, 301))
    failed = {0, 1, 40, 41, 42, 99}
    for index in range(100):
        await desk.run(one, index, status=Status.FAILED if index in failed else Status.COMPLETED)
    desk.calls.clear()
    expected = [item_id for index in sorted(failed) for item_id in range(index * 3 + 1, index * 3 + 4)]
    assert await ids_of(desk, await retry(desk, one)) == expected
    assert desk.calls.count("table.query") == 3 * 2 * 2
