"""Tests of cancelling, changing priorities and pausing, and of what breaks off in the middle of it."""

import asyncio
import json
from datetime import timedelta
from uuid import UUID

import pytest

from ingest_core.dispatch.slots import START_BUDGET_SECONDS
from ingest_core.dispatch.upkeep import Upkeep
from ingest_core.errors import AlreadyEnded, StorageUnavailable
from ingest_core.models import Priority, Status
from ingest_core.storage.gate_row import EVERYTHING
from ingest_core.storage.stores import open_stores
from tests.support.callers import Desk


@pytest.fixture
def desk() -> Desk:
    """A service in memory."""
    return Desk(ended_queue="ended")


def closed(desk: Desk) -> list[tuple[str, str]]:
    """The history: which ingestion has ended how."""
    rows = desk.account.table("history").values()
    return [(str(row.entity["ingestion_id"]), str(row.entity["status"])) for row in rows]


async def is_open(desk: Desk) -> bool:
    """Whether anything is in the backlog."""
    return bool(await desk.backlog.everything())


# Cancel --------------------------------------------------------------------------------------------------------------


async def test_a_cancelled_ingestion_ends_at_once_if_nothing_runs(desk: Desk) -> None:
    """It is closed, with its event; what has ended stays as it is."""
    one = await desk.post(range(1, 10))
    await desk.run(one, 0)
    await desk.start(one, 1)
    await desk.wait(one, 1)
    found = (await desk.service.cancel(one, reason="sent twice")).ingestion
    assert (found.status, found.cancel_reason, found.ended_at) == (Status.CANCELLED, "sent twice", desk.clock.now())
    assert (found.completed_count, found.cancelled_count) == (1, 2)
    assert closed(desk) == [(str(one), "cancelled")]
    assert not await is_open(desk)
    assert [json.loads(event)["type"] for event in await desk.storage.events()] == ["ingestion.cancelled"]


async def test_a_running_batch_ends_before_the_cancelled_ingestion_does(desk: Desk) -> None:
    """Until then its status stays triggered."""
    one = await desk.post(range(1, 7))
    await desk.start(one, 0)
    found = (await desk.service.cancel(one)).ingestion
    assert (found.status, found.cancelled_count, found.ended_at) == (Status.TRIGGERED, 1, None)
    assert await is_open(desk)
    await desk.end(one, 0)
    assert closed(desk) == [(str(one), "cancelled")]


async def test_the_first_reason_is_kept(desk: Desk) -> None:
    """A repeat gives the same, also after the end, and writes nothing."""
    one = await desk.post(range(1, 7))
    await desk.start(one, 0)
    await desk.service.cancel(one, reason="first")
    await desk.service.cancel(one, reason="second")
    await desk.end(one, 0)
    desk.calls.clear()
    found = (await desk.service.cancel(one, reason="third")).ingestion
    assert (found.cancel_reason, found.status) == ("first", Status.CANCELLED)
    assert set(desk.calls) == {"table.get"}
    assert len(await desk.storage.events()) == 1


async def test_what_has_completed_or_failed_cannot_be_cancelled(desk: Desk) -> None:
    """Nor can what has completed although a cancel was asked for while its last batch ran."""
    for status in (Status.COMPLETED, Status.FAILED):
        one = await desk.post([1])
        await desk.run(one, status=status)
        with pytest.raises(AlreadyEnded):
            await desk.service.cancel(one)
    late = await desk.post([1])
    await desk.start(late, 0)
    await desk.service.cancel(late)
    await desk.end(late, 0)
    assert (await desk.read(late)).status is Status.COMPLETED
    with pytest.raises(AlreadyEnded):
        await desk.service.cancel(late)


async def test_a_cancel_does_not_wait_for_the_queue_of_events(desk: Desk) -> None:
    """Upkeep closes the ingestion when that can be reached again."""
    one = await desk.post([1])
    desk.before["storage.put_event"] = StorageUnavailable("no such queue")
    assert (await desk.service.cancel(one)).ingestion.status is Status.CANCELLED
    assert await is_open(desk)
    assert closed(desk) == []


async def test_a_cancel_whose_answer_was_lost_is_recognised(desk: Desk) -> None:
    """It is not taken for somebody else's."""
    one = await desk.post([1])
    desk.after["table.merge"] = StorageUnavailable("the answer is lost")
    assert (await desk.service.cancel(one, reason="mine")).ingestion.cancel_reason == "mine"
    assert closed(desk) == [(str(one), "cancelled")]


# Priority ------------------------------------------------------------------------------------------------------------


def generations(desk: Desk, lane: str) -> list[int]:
    """Which generations have a message in a lane."""
    return [json.loads(text)["generation"] for text in desk.texts(f"ingest-{lane}")]


async def test_a_moved_ingestion_goes_to_the_back_of_its_new_lane(desk: Desk) -> None:
    """Row, backlog and message agree, and the old message is stale."""
    one = await desk.post([1])
    two = await desk.post([2], "LOW")
    desk.clock.seconds += 1
    await desk.service.change_priority(one, Priority.LOW)
    found = await desk.read(one)
    assert (found.priority, found.generation, found.is_queued) == (Priority.LOW, 1, True)
    assert [row.ingestion_id for row in await desk.backlog.everything()] == [two, one]
    assert {row.priority for row in await desk.backlog.everything()} == {Priority.LOW}
    assert (generations(desk, "high"), generations(desk, "low")) == ([0], [0, 1])


async def test_the_same_priority_again_changes_nothing(desk: Desk) -> None:
    """Neither the place nor the row."""
    one = await desk.post([1])
    for _ in range(2):
        await desk.service.change_priority(one, Priority.LOW)
    found = await desk.read(one)
    assert (found.generation, generations(desk, "low")) == (1, [1])


async def test_there_and_back_does_not_revive_the_old_place(desk: Desk) -> None:
    """HIGH, LOW, HIGH: the first message is older than the row's generation."""
    one = await desk.post([1])
    await desk.service.change_priority(one, Priority.LOW)
    await desk.service.change_priority(one, Priority.HIGH)
    assert (generations(desk, "high"), (await desk.read(one)).generation) == ([0, 2], 2)


async def test_what_has_ended_or_is_being_cancelled_cannot_be_moved(desk: Desk) -> None:
    """Also to the lane where it is."""
    ended, cancelled = await desk.post([1]), await desk.post(range(1, 7))
    await desk.run(ended)
    await desk.start(cancelled, 0)
    await desk.service.cancel(cancelled)
    for one in (ended, cancelled):
        for priority in Priority:
            with pytest.raises(AlreadyEnded):
                await desk.service.change_priority(one, priority)


@pytest.mark.parametrize(
    ("call", "number"), [("table.merge", 0), ("table.get", 0), ("table.merge", 1), ("queue.put", 0)]
)
@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_change_of_priority_that_broke_off_is_completed_by_a_repeat(
    desk: Desk, call: str, number: int, when: str
) -> None:
    """Wherever: then there is a message of the present generation, and the backlog says the same."""
    one = await desk.post([1])
    dying = Desk(desk.account, desk.clock)
    hook = getattr(dying, f"{when}_call")
    seen = 0

    async def die(made: str) -> None:
        nonlocal seen
        if made == call:
            seen += 1
            if seen > number:
                raise StorageUnavailable("the process is gone")
        await hook(made)

    table, queue = dying.storage.ingestions, dying.storage.lanes[Priority.LOW]
    for client in (table, queue, dying.storage.backlog):
        object.__setattr__(client, when, die)
    with pytest.raises(StorageUnavailable):
        await dying.service.change_priority(one, Priority.LOW)
    await desk.service.change_priority(one, Priority.LOW)
    found = await desk.read(one)
    assert (found.priority, found.is_queued) == (Priority.LOW, True)
    assert found.generation in generations(desk, "low")
    (row,) = await desk.backlog.everything()
    assert (row.priority, row.generation) == (Priority.LOW, found.generation)


async def test_the_slower_of_two_changes_does_not_bring_the_older_lane_back(desk: Desk) -> None:
    """Neither in the row, nor in the queue, nor in the backlog."""
    one = await desk.post([1])
    slow, paused = Desk(desk.account, desk.clock), asyncio.Event()

    async def wait(_: str) -> None:
        await paused.wait()

    for client in (slow.storage.backlog, slow.storage.lanes[Priority.LOW]):
        object.__setattr__(client, "before", wait)
    older = asyncio.create_task(slow.service.change_priority(one, Priority.LOW))
    while (await desk.read(one)).generation == 0:  # the row is all that shows it
        await asyncio.sleep(0)
    await desk.service.change_priority(one, Priority.MEDIUM)
    paused.set()
    await older
    found = await desk.read(one)
    assert (found.priority, found.generation, found.is_queued) == (Priority.MEDIUM, 2, True)
    (row,) = await desk.backlog.everything()
    assert (row.priority, row.generation) == (Priority.MEDIUM, 2)
    assert (generations(desk, "medium"), generations(desk, "low")) == ([2], [1])  # the older message is stale


async def test_the_slower_of_two_changes_does_not_complete_a_younger_one_that_broke_off(desk: Desk) -> None:
    """Its message is in another lane, so the younger one is still to be completed by a repeat."""
    one = await desk.post([1])

    async def move_again(_: str) -> None:
        younger = Desk(desk.account, desk.clock)
        younger.before["queue.put"] = StorageUnavailable("the process is gone")
        with pytest.raises(StorageUnavailable):
            await younger.service.change_priority(one, Priority.MEDIUM)

    slow = Desk(desk.account, desk.clock)
    object.__setattr__(slow.storage.lanes[Priority.LOW], "before", move_again)
    await slow.service.change_priority(one, Priority.LOW)
    assert not (await desk.read(one)).is_queued
    await desk.service.change_priority(one, Priority.MEDIUM)
    assert ((await desk.read(one)).is_queued, generations(desk, "medium")) == (True, [2])


# Pause ---------------------------------------------------------------------------------------------------------------


async def test_a_pause_answers_when_no_batch_of_the_lane_can_start_any_more(desk: Desk) -> None:
    """One start budget after it was written."""
    began_at = desk.clock.seconds
    seen = await desk.service.pause("LOW", reason="invoices first")
    assert desk.clock.seconds - began_at == START_BUDGET_SECONDS
    assert seen.gate.is_paused(Priority.LOW)
    assert not seen.gate.is_paused(Priority.HIGH)
    assert seen.gate.pauses["LOW"].reason == "invoices first"


async def test_a_second_pause_keeps_since_and_replaces_the_rest(desk: Desk) -> None:
    """A pause that was over begins anew."""
    first_at = desk.clock.now()
    until = first_at + timedelta(minutes=5)
    await desk.service.pause("LOW", reason="a")
    again = (await desk.service.pause("LOW", until=until)).gate.pauses["LOW"]
    assert (again.since, again.reason, again.until) == (first_at, "", until)
    desk.clock.seconds += 301
    assert (await desk.service.overview()).gate.pauses == {}
    later = desk.clock.now()
    assert (await desk.service.pause("LOW")).gate.pauses["LOW"].since == later


async def test_resuming_all_leaves_paused_lanes_paused(desk: Desk) -> None:
    """ALL is a switch of its own; what is not paused may be resumed."""
    await desk.service.pause("LOW")
    seen = await desk.service.pause(EVERYTHING)
    assert all(seen.gate.is_paused(lane) for lane in Priority)
    assert list((await desk.service.resume(EVERYTHING)).gate.pauses) == ["LOW"]
    assert list((await desk.service.resume("HIGH")).gate.pauses) == ["LOW"]


async def test_a_pause_where_there_is_no_gate_makes_one_that_counts_as_taken(desk: Desk) -> None:
    """Nothing was ever started, so nobody knows what another process is about to start."""
    await desk.service.pause("HIGH")
    stored = await desk.gate_table.read()
    assert (stored.gate.slot, stored.gate.due - stored.gate.age) == (0, 6)


@pytest.mark.parametrize("call", ["accept", "cancel", "priority", "pause", "resume", "retry"])
async def test_own_writes_are_seen_at_once(desk: Desk, call: str) -> None:
    """What was seen is kept for a second, but not over a write of one's own."""
    failed = await desk.post([1])
    await desk.run(failed, status=Status.FAILED)
    one = await desk.post([1])
    before = await desk.service.overview()
    assert await desk.service.overview() is before
    writes = {
        "accept": lambda: desk.post([2]),
        "cancel": lambda: desk.service.cancel(one),
        "priority": lambda: desk.service.change_priority(one, Priority.LOW),
        "pause": lambda: desk.service.pause("HIGH"),
        "resume": lambda: desk.service.resume("HIGH"),
        "retry": lambda: desk.service.retry(failed),
    }
    await writes[call]()
    assert await desk.service.overview() is not before


async def test_what_another_process_has_accepted_is_missing_in_what_is_kept(desk: Desk) -> None:
    """A list that is posted within the second has a forecast all the same."""
    await desk.post([1])
    await desk.service.overview()
    two = await Desk(desk.account, desk.clock).post([2])
    forecast = (await desk.service.summary(two)).forecast
    assert forecast
    assert forecast.batches_ahead == 1


# Crashes -------------------------------------------------------------------------------------------------------------


class Killed(BaseException):
    """The process is gone."""


class Dying(Desk):
    """A process that is killed just before its n-th storage call takes effect, or just after."""

    def __init__(self, world: Desk, number: int, when: str) -> None:
        self._left, self._when = number, when
        super().__init__(world.account, world.clock, ended_queue="ended")

    async def before_call(self, call: str) -> None:
        self._left -= 1
        if self._left < 0 or (self._left == 0 and self._when == "before"):
            raise Killed
        await super().before_call(call)

    async def after_call(self, call: str) -> None:
        if self._left == 0:
            raise Killed
        await super().after_call(call)


async def keep_up(desk: Desk) -> None:
    """Upkeep, by a process that is well."""

    async def gate_age() -> float:
        return 0.0

    stores = open_stores(desk.storage, sends_events=True)
    await Upkeep(stores, gate_age=gate_age, clock=desk.clock, retention_days=0).run()


async def assert_all_is_well(desk: Desk) -> None:
    """Each open ingestion has its message and a true backlog row, and each that has ended is closed, with its event."""
    rows = {row.ingestion_id: row for row in await desk.backlog.everything()}
    events = [json.loads(event)["data"]["ingestion_id"] for event in await desk.storage.events()]
    for key in {UUID(key[0]) for key in desk.account.table("ingestions")}:
        row = await desk.read(key)
        if row.has_ended:
            assert key not in rows
            assert (str(key), row.status) in closed(desk)
            assert 1 <= events.count(str(key)) <= 2
            continue
        assert (rows[key].priority, rows[key].generation) == (row.priority, row.generation)
        live = [json.loads(text) for text in desk.texts(f"ingest-{row.priority.lower()}")]
        assert {"format": 2, "ingestion_id": str(key), "generation": row.generation} in live


ACTS = {
    "cancel": lambda desk, one, _: desk.service.cancel(one),
    "priority": lambda desk, one, _: desk.service.change_priority(one, Priority.LOW),
    "retry": lambda desk, _, failed: desk.service.retry(failed),
    "pause": lambda desk, *_: desk.service.pause("LOW"),
}


@pytest.mark.parametrize("repeats", [True, False])
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("act", ACTS)
async def test_a_process_may_die_at_any_call_of_what_a_person_asks_for(act: str, when: str, *, repeats: bool) -> None:
    """A repeat completes it; if nobody repeats it, upkeep leaves it done or undone, and nothing in between."""
    for number in range(1, 100):
        desk = Desk(ended_queue="ended")
        one, failed = await desk.post([1, 2, 3, 4]), await desk.post([5])
        await desk.run(failed, status=Status.FAILED)
        try:
            await ACTS[act](Dying(desk, number, when), one, failed)
        except Killed:
            if repeats:
                await ACTS[act](desk, one, failed)
            elif act == "retry":  # nobody was told of it, so it may stay behind until somebody asks again
                continue
            await keep_up(desk)
            await assert_all_is_well(desk)
        else:
            assert number > 4
            return
    pytest.fail("it never came to its end")
