"""Tests of a tick: what runs next, when, and what a tick costs."""

import asyncio
import json
import logging
from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise

import pytest

from ingest_core.dispatcher import MAX_STARTS, Tick
from ingest_core.errors import AttemptFailed, ItemRejected, SourceUnavailable
from ingest_core.rows import RESULT_BYTES
from ingest_core.service import Page
from tests.support.fakes import FakeClock, Host


@pytest.fixture
def host() -> Iterator[Host]:
    """A service in memory whose gate is open."""
    one = Host()
    asyncio.run(one.tick())
    one.clock.seconds += 100
    one.calls.clear()
    return one


class Crash(BaseException):
    """A process dies here."""


def statuses(status: dict) -> list[str]:
    """The batches' statuses."""
    return [batch["status"] for batch in status["batches"]]


async def test_processing_moves_a_batch_per_slot(host: Host) -> None:
    """After the first slot the first batch has completed, after the second all have."""
    one = await host.post([1, 2, 3, 4, 5])
    await host.tick()
    status = await host.status(one)
    assert (status["status"], statuses(status)) == ("triggered", ["completed", "yet_to_start"])
    await host.tick()
    status = await host.status(one)
    assert (status["status"], statuses(status)) == ("completed", ["completed", "completed"])
    assert host.source.ids() == [1, 2, 3, 4, 5]


async def test_the_highest_lane_runs_first(host: Host) -> None:
    """A HIGH ingestion overtakes those that came before it, between two of their batches."""
    await host.post([1, 2, 3], "LOW")
    await host.post([11, 12, 13, 14], "MEDIUM")
    await host.tick()
    await host.post([21], "HIGH")
    await host.ticks(3)
    assert host.source.ids() == [11, 12, 13, 21, 14, 1, 2, 3]


async def test_the_oldest_ingestion_of_a_lane_runs_to_its_end_first(host: Host) -> None:
    """Within a priority nothing overtakes."""
    await host.post([1, 2, 3, 4])
    await host.post([5])
    await host.ticks(3)
    assert host.source.ids() == [1, 2, 3, 4, 5]


async def test_starts_are_an_interval_apart_to_the_instant(host: Host) -> None:
    """However fast ticks come, and no later than due while work waits."""
    await host.post(list(range(1, 31)))
    await host.ticks(10)
    starts = host.source.starts()
    assert [round(later - earlier, 9) for earlier, later in pairwise(starts)] == [5.0] * 9


async def test_a_high_ingestion_that_arrives_while_a_tick_waits_still_wins(host: Host) -> None:
    """The look comes shortly before the slot, not at the start of the tick."""
    await host.post([1, 2, 3, 4, 5, 6], "LOW")
    await host.tick()
    sleep, arrived = host.clock.sleep, []

    async def sleep_and_post(seconds: float) -> None:
        await sleep(seconds)
        if not arrived:
            arrived.append(await host.post([9], "HIGH"))

    host.clock.sleep = sleep_and_post
    await host.tick()
    assert host.source.ids()[3:] == [9]


@pytest.mark.parametrize(("priority", "calls"), [("HIGH", 6), ("MEDIUM", 7), ("LOW", 8)])
async def test_a_tick_costs_few_calls(host: Host, priority: str, calls: int) -> None:
    """Look, take, read, mark, settle, give back; and two to remove the message after the last batch."""
    await host.post(list(range(1, 7)), priority)
    host.calls.clear()
    await host.tick()
    assert len(host.calls) == calls
    host.calls.clear()
    await host.tick()
    assert len(host.calls) == calls + 2


async def test_an_idle_tick_of_the_incumbent_costs_three_calls(host: Host) -> None:
    """It needs no look at its own gate."""
    assert await host.tick() == Tick.IDLE
    assert host.calls == ["queue.peek"] * 3


async def test_an_idle_tick_of_another_process_costs_four_calls(host: Host) -> None:
    """It counts from when it first saw the gate, so that the count is over when work comes."""
    other = Host(host.account, host.clock)
    await other.tick()
    other.calls.clear()
    assert await other.tick() == Tick.IDLE
    assert other.calls == ["table.get", "queue.peek", "queue.peek", "queue.peek"]


async def test_nothing_is_left_when_the_backlog_is_drained(host: Host) -> None:
    """Every message is gone, and only rows remain."""
    for priority in ("LOW", "HIGH", "MEDIUM"):
        await host.post([1, 2, 3, 4], priority)
    await host.ticks(6)
    assert await host.tick() == Tick.IDLE
    assert not any(host.account.queues.values())


async def test_one_tick_runs_at_a_time(host: Host) -> None:
    """A manual run that comes in between returns at once."""
    await host.post([1, 2, 3, 4, 5, 6])
    second = []

    async def tick_again(_: int) -> None:
        second.append(await host.tick())

    host.source.on_fetch = tick_again
    await host.tick()
    assert set(second) == {Tick.ALREADY_RUNNING}
    assert host.source.ids() == [1, 2, 3]


async def test_a_failed_attempt_is_tried_again_in_a_new_slot(host: Host) -> None:
    """The batch stays at the head of its lane, and stays triggered."""
    host.source.answers[2] = [AttemptFailed("the API answered 500")]
    one = await host.post([1, 2, 3])
    await host.post([4])
    await host.tick()
    status = await host.status(one)
    assert statuses(status) == ["triggered"]
    assert (status["in_flight"]["attempts"], status["in_flight"]["error"]) == (1, "the API answered 500")
    await host.ticks(2)
    assert host.source.ids() == [1, 2, 3, 1, 2, 3, 4]
    assert (await host.status(one))["status"] == "completed"
    starts = host.source.starts()
    assert starts[1] - starts[0] == pytest.approx(5)


async def test_a_batch_fails_after_five_attempts_and_the_lane_moves_on(host: Host) -> None:
    """A poison message names it."""
    host.source.answers[4] = [AttemptFailed("boom")] * 5
    one = await host.post([1, 2, 3, 4, 5, 6, 7])
    await host.ticks(7)
    status = await host.status(one)
    assert (status["status"], statuses(status)) == ("failed", ["completed", "failed", "completed"])
    poison = json.loads(host.texts("ingest-high-poison")[0])
    assert (poison["ingestion_id"], poison["batch_id"], poison["error"], poison["attempts"]) == (
        one, status["batches"][1]["batch_id"], "boom", 5,
    )  # fmt: skip
    assert not host.texts("ingest-high")


async def test_the_log_says_why_a_batch_failed(host: Host, caplog: pytest.LogCaptureFixture) -> None:
    """In the line of its end, as of a last attempt there is no other."""
    host.source.answers[1] = [AttemptFailed("boom")] * 5
    await host.post([1])
    with caplog.at_level(logging.INFO):
        await host.ticks(5)
    (line,) = [message for message in caplog.messages if message.startswith("batch.failed")]
    assert "ids_with_error=1" in line
    assert line.endswith("error=boom")


async def test_a_failed_batch_keeps_what_was_delivered(host: Host) -> None:
    """Each ID has its own item or its own error."""
    host.source.answers = {2: [AttemptFailed("boom")] * 5, 3: [ItemRejected("the API answered 404")] * 5}
    one = await host.post([1, 2, 3])
    await host.ticks(5)
    page = await host.core.context.service.results(one, Page(cursor=0, limit=1))
    assert [json.loads(line) for line in page.lines] == [
        {"id": 1, "data": {"id": 1}}, {"id": 2, "error": "boom"}, {"id": 3, "error": "the API answered 404"},
    ]  # fmt: skip
    assert (await host.status(one))["counts"]["errors"] == 2


async def test_a_long_pause_is_renewed_by_ticks(host: Host) -> None:
    """So that a host which starts anew does not wait for all of it again."""
    host.source.answers[1] = [SourceUnavailable("the API answered 429", retry_after_seconds=3600)]
    await host.post([1])
    await host.tick()
    for _ in range(100):
        host.clock.seconds += 5
        assert await host.tick() is Tick.NOT_DUE
    successor = Host(host.account, host.clock)
    for _ in range(2 * 3600 // 5):
        await successor.tick()
        host.clock.seconds += 5
    assert 3600 <= successor.source.starts()[0] - host.source.starts()[0] <= 3620


async def test_a_rejected_id_does_not_fail_its_batch(host: Host) -> None:
    """The error is the ID's, and costs one slot."""
    host.source.answers[2] = [ItemRejected("the API answered 404")]
    one = await host.post([1, 2, 3])
    await host.tick()
    status = await host.status(one)
    assert (status["status"], status["counts"]["errors"], status["counts"]["completed"]) == ("completed", 1, 1)


async def test_an_unavailable_api_spends_no_attempt_and_closes_the_gate(host: Host) -> None:
    """An outage of an hour fails nothing."""
    host.source.answers[1] = [SourceUnavailable("refused")] * 500
    one = await host.post([1])
    before = host.clock.seconds
    while host.clock.seconds < before + 3600:
        await host.tick()
        host.clock.seconds += 5
    status = await host.status(one)
    assert status["in_flight"]["attempts"] == 0
    assert status["in_flight"]["held_until"]


async def gaps_of(host: Host, starts: int) -> list[float]:
    """Tick as the timer does until there were so many starts; how far they were apart."""
    while len(host.source.starts()) < starts:
        await host.tick()
        host.clock.seconds += 1
    return [round(later - earlier, 6) for earlier, later in pairwise(host.source.starts())]


async def test_the_back_off_doubles_from_an_interval_to_a_minute(host: Host) -> None:
    """Where the API does not say how long it wants to be left alone."""
    host.source.answers[1] = [SourceUnavailable("refused")] * 10
    await host.post([1])
    assert await gaps_of(host, 7) == [5, 10, 20, 40, 60, 60]


async def test_the_back_off_starts_over_once_the_api_has_answered(host: Host) -> None:
    """A later outage is another one."""
    host.source.answers = {1: [SourceUnavailable("refused")] * 2, 2: [SourceUnavailable("refused")]}
    await host.post([1])
    await host.post([2])
    assert await gaps_of(host, 5) == [5, 10, 5, 5]
    assert host.source.ids() == [1, 1, 1, 2, 2]


@pytest.mark.parametrize(("asked", "waited"), [(30.0, 30), (0.0, 5), (1e9, 3600)])
async def test_retry_after_is_kept_within_bounds(host: Host, asked: float, waited: float) -> None:
    """At least an interval, at most the setting."""
    host.source.answers[1] = [SourceUnavailable("429", retry_after_seconds=asked)]
    await host.post([1])
    await host.tick()
    while len(host.source.fetched) < 2:
        await host.tick()
        host.clock.seconds += 0.5
    starts = host.source.starts()
    assert starts[1] - starts[0] == pytest.approx(waited, abs=0.6)


async def test_a_crashed_batch_keeps_its_place(host: Host) -> None:
    """Another process takes it up first, once the lease is over, and counts the attempt."""
    one = await host.post([1, 2, 3])
    await host.post([4])

    async def die(_: int) -> None:
        raise Crash

    host.source.on_fetch = die
    with pytest.raises(Crash):
        await host.tick()
    started = host.clock.seconds
    other = Host(host.account, host.clock)
    while not other.source.fetched:
        await other.tick()
        host.clock.seconds += 0.1
    assert other.source.ids() == [1, 2, 3]
    assert other.source.starts()[0] - started >= 5
    assert (await other.status(one))["status"] == "completed"


@pytest.mark.parametrize(("starts", "status", "fetched"), [(19, "completed", [1, 2]), (20, "failed", [2])])
async def test_a_batch_that_was_started_twenty_times_without_an_end_fails(
    host: Host, starts: int, status: str, fetched: list[int]
) -> None:
    """One that kills its host every time must not block the service for ever."""
    one = await host.post([1])
    await host.post([2])
    row = host.account.table("ingestions")
    key = (one, one)
    row[key].entity.update(triggered_at=host.clock.now().isoformat(), attempts=starts, slot=1)
    await host.ticks(3)
    assert host.source.ids() == fetched
    assert (await host.status(one))["status"] == status


async def test_slow_storage_fails_no_batch(host: Host) -> None:
    """A start that is given up before anything is sent counts for nothing, however often that happens."""
    one = await host.post([1, 2, 3])
    slow = True

    async def take_long(_: str) -> None:
        host.clock.seconds += 0.36 * slow

    for store in (host.core.storage.dispatch, host.core.storage.ingestions):
        object.__setattr__(store, "after", take_long)
    for _ in range(2 * MAX_STARTS):
        assert await host.tick() == Tick.NOT_STARTED
        host.clock.seconds += 5
    slow = False
    await host.tick()
    status = await host.status(one)
    assert (status["status"], host.source.ids()) == ("completed", [1, 2, 3])
    page = await host.core.context.service.batches(one, Page(cursor=0, limit=1))
    assert json.loads(page.lines[0])["attempts"] == 1


async def test_an_item_must_leave_room_for_the_others_of_its_batch() -> None:
    """A batch that was accepted under a larger batch size shares one row all the same."""
    before = Host(batch_size=100)
    one = await before.post(list(range(1, 101)))
    host = Host(before.account, before.clock, batch_size=1)

    async def fetch(item_id: int) -> str:
        return f'"{"x" * (RESULT_BYTES // 2 if item_id == 7 else 10)}"'

    host.source.fetch = fetch
    await host.ticks(2)
    page = await host.core.context.service.results(one, Page(cursor=0, limit=1))
    items = [json.loads(line) for line in page.lines]
    assert [item["id"] for item in items if "error" in item] == [7]
    assert len(items) == 100


async def test_a_finished_ingestion_does_not_hide_the_next(host: Host) -> None:
    """A crash between the last batch and the removal leaves a message that is swept away in the next slot."""
    one = await host.post([1])
    await host.tick()
    front = json.dumps({"format": 1, "ingestion_id": one})
    await host.core.lanes._queues["HIGH"].put(front)
    await host.post([2])
    await host.post([3], "LOW")
    await host.ticks(2)
    assert host.source.ids() == [1, 2, 3]
    assert not host.texts("ingest-high")


async def test_duplicate_messages_run_nothing_twice(host: Host) -> None:
    """A caller's retries may leave several."""
    one = await host.post([1, 2, 3, 4], key="k")
    for _ in range(3):
        assert await host.post([1, 2, 3, 4], key="k") == one
    await host.post([5])
    await host.ticks(4)
    assert host.source.ids() == [1, 2, 3, 4, 5]
    assert not host.texts("ingest-high")


@pytest.mark.parametrize(
    "text",
    ["hello", "[]", '{"format":1}', json.dumps({"format": 1, "ingestion_id": "00000000-0000-4000-8000-000000000000"})],
)
async def test_a_foreign_message_moves_to_the_poison_queue(host: Host, text: str) -> None:
    """Word for word, and the next ingestion runs in the same slot."""
    await host.core.lanes._queues["HIGH"].put(text)
    await host.post([1])
    await host.tick()
    assert host.source.ids() == [1]
    assert host.texts("ingest-high-poison") == [text]
    assert not host.texts("ingest-high")


async def test_a_displaced_message_is_served_by_its_age(host: Host) -> None:
    """A message that reappeared at the back was still inserted first."""
    await host.post([1])
    host.clock.seconds += 2
    await host.post([2])
    queue = host.account.queue("ingest-high")
    queue[0].visible_at += timedelta(seconds=3)
    host.clock.seconds += 10
    await host.ticks(3)
    assert host.source.ids() == [1, 2]
    assert not host.texts("ingest-high")


async def test_a_slot_that_storage_lost_does_not_stop_the_service(host: Host) -> None:
    """The ingestion row knows a higher slot than the gate: the gate continues behind it."""
    one = await host.post([1])
    host.account.table("ingestions")[one, one].entity.update(slot=500)
    assert await host.tick() == Tick.NOT_STARTED
    assert await host.tick() == Tick.STARTED
    assert (await host.status(one))["status"] == "completed"


async def test_batches_of_a_long_ingestion_are_read_from_the_right_chunk() -> None:
    """A cursor that enters the next chunk costs one more read, once."""
    host = Host(clock=FakeClock(), batch_size=100)
    await host.tick()
    host.clock.seconds += 10
    one = await host.post(list(range(1, 16_601)), "HIGH")
    row = host.account.table("ingestions")[one, one]
    row.entity.update(finished_batches=163)
    for calls in (7, 6):
        host.calls.clear()
        await host.tick()
        assert len(host.calls) == calls
    assert (host.source.ids()[0], host.source.ids()[100]) == (16_301, 16_401)
