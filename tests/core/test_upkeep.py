"""Tests of upkeep: what lost its message gets one, what was left is finished, and what is old is deleted."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import pytest

from ingest_core.dispatch.recovery import CHECKED_PER_RUN, SETTLE_SECONDS
from ingest_core.dispatch.retention import Retention
from ingest_core.dispatch.upkeep import Upkeep
from ingest_core.errors import StorageUnavailable
from ingest_core.models import BatchRecord, Ingestion, Priority, Status
from ingest_core.storage.backlog import row_key
from ingest_core.storage.history import ClosedIngestion
from ingest_core.storage.ingestions import Ingestions
from ingest_core.storage.lanes import Ticket, ticket_of
from ingest_core.storage.memory import Account, MemoryStorage
from ingest_core.storage.stores import open_stores
from tests.support.first_format import FIRST_FORMAT, restore_first_format
from tests.support.virtual_time import EPOCH

HIGH, MEDIUM, LOW = Priority
DAY = 86_400.0


class Clock:
    """A host's clock that moves only when it is slept on; its wall clock may be wrong."""

    def __init__(self) -> None:
        self.seconds = 1000.0
        self.wall_offset = 0.0
        self.on_sleep: Callable[[], Awaitable[None]] | None = None

    def monotonic(self) -> float:
        return self.seconds

    def true_now(self) -> datetime:
        """What the storage service's clock says."""
        return EPOCH + timedelta(seconds=self.seconds)

    def now(self) -> datetime:
        return self.true_now() + timedelta(seconds=self.wall_offset)

    async def sleep(self, seconds: float) -> None:
        if self.on_sleep:
            await self.on_sleep()
        self.seconds += seconds


class World:
    """A storage account in memory, and one process that does its upkeep."""

    def __init__(self, *, retention_days: int = 30) -> None:
        self.clock = Clock()
        self.account = Account(now=self.clock.true_now)
        self.calls: list[str] = []
        self.on_call: Callable[[str], Awaitable[None]] | None = None
        self.fails_after: int | None = None
        self.gate_age = 5000.0
        self.retention_days = retention_days
        self.start()

    def start(self) -> None:
        """Start a process that knows nothing of the one before."""
        self.storage = MemoryStorage(self.account, before=self._before, ended_queue="ended")
        self.stores = open_stores(self.storage, sends_events=True)
        self.ingestions = self.stores.ingestions
        self.lanes = self.stores.lanes
        self.backlog = self.stores.backlog
        self.history = self.stores.history
        self.closing = self.stores.closing
        self.upkeep = Upkeep(self.stores, gate_age=self._age, clock=self.clock, retention_days=self.retention_days)

    async def _before(self, call: str) -> None:
        self.calls.append(call)
        if self.fails_after is not None:
            self.fails_after -= 1
            if self.fails_after < 0:
                raise StorageUnavailable("the process is killed")
        if self.on_call:
            await self.on_call(call)

    async def _age(self) -> float:
        return self.gate_age

    async def post(self, count: int = 3, lane: Priority = HIGH, ingestion_id: UUID | None = None) -> Ingestion:
        """Accept a list."""
        ingestion = self.new(count, lane, ingestion_id)
        await self.ingestions.insert(ingestion, range(1, count + 1))
        await self.lanes.put(lane, ingestion.ingestion_id)
        await self.backlog.insert(ingestion)
        return ingestion

    def new(self, count: int = 3, lane: Priority = HIGH, ingestion_id: UUID | None = None) -> Ingestion:
        """An ingestion that is nowhere yet."""
        now = self.clock.now()
        self.clock.seconds += 0.001
        return Ingestion(
            ingestion_id=ingestion_id or uuid4(),
            priority=lane,
            created_at=now,
            queued_at=now,
            id_count=count,
            batch_size=3,
            digest="d",
        )

    async def posts(self, number: int, lane: Priority = HIGH) -> list[Ingestion]:
        """Accept as many lists, a second apart."""
        accepted = []
        for _ in range(number):
            accepted.append(await self.post(lane=lane))
            self.clock.seconds += 1
        return accepted

    async def change(self, ingestion: Ingestion, change: Callable[[Ingestion], Ingestion | None]) -> Ingestion:
        """Change an ingestion's row."""
        written = await self.ingestions.change(ingestion.ingestion_id, change)
        assert written is not None
        return written.value

    async def start_batch(self, ingestion: Ingestion, index: int = 0, age: float = 0.0) -> Ingestion:
        """Mark a batch as started."""
        at = self.clock.now()
        return await self.change(
            ingestion, lambda row: row.batch_started(index, token=f"t{index}", age=age, lease=25, at=at)
        )

    async def finish(self, ingestion: Ingestion) -> Ingestion:
        """Run all batches of an ingestion, up to the end of the last; closing it is left out."""
        for index in range(ingestion.batch_count):
            await self.start_batch(ingestion, index)
            now = self.clock.now()
            record = BatchRecord(
                index=index, status=Status.COMPLETED, attempts=1, triggered_at=now, completed_at=now, token=f"t{index}"
            )
            written = await self.ingestions.end_batch(
                ingestion.ingestion_id,
                lambda row, index=index, now=now: (
                    after.with_end(now)
                    if (after := row.batch_ended(index, f"t{index}", has_failed=False, error_count=0))
                    else None
                ),
                record,
            )
            assert written is not None
        return written.value

    async def finish_and_close(self, ingestion: Ingestion) -> Ingestion:
        """Run it to its end, and close it; its message is swept."""
        ended = await self.finish(ingestion)
        await self.closing.close(ended)
        self.lose(ingestion)
        return ended

    def lose(self, *ingestions: Ingestion) -> None:
        """Storage loses the messages of these."""
        lost = {one.ingestion_id for one in ingestions}
        for lane in Priority:
            queue = self.account.queue(f"ingest-{lane.lower()}")
            queue[:] = [one for one in queue if json.loads(one.message.text)["ingestion_id"] not in map(str, lost)]

    def tickets(self, lane: Priority) -> list[Ticket | None]:
        """What lies in a lane, front first."""
        return [ticket_of(waiting.message) for waiting in self.account.queue(f"ingest-{lane.lower()}")]

    def queued(self, lane: Priority) -> list[UUID]:
        """The ingestions that have a message in a lane, front first."""
        return [ticket.ingestion_id for ticket in self.tickets(lane) if ticket]

    async def row(self, ingestion: Ingestion) -> Ingestion:
        """The ingestion's row as a process reads it that knows nothing."""
        return (await Ingestions(self.storage.ingestions).read(ingestion.ingestion_id)).value

    async def open(self) -> list[UUID]:
        """What the backlog holds, oldest first."""
        return [row.ingestion_id for row in await self.backlog.everything()]

    async def closed(self) -> list[UUID]:
        """What the history holds, newest first."""
        return [row.ingestion_id async for row in self.history.rows() if isinstance(row, ClosedIngestion)]

    def edit(self, table: str, key: tuple[str, str], **properties: object) -> None:
        """Edit a row by hand."""
        stored = self.account.table(table)[key]
        self.account.table(table)[key] = replace(stored, entity={**stored.entity, **properties})


@pytest.fixture
def world() -> World:
    """An account and a process."""
    return World()


async def report(world: World, **expected: int) -> None:
    """One run of upkeep does this and nothing else."""
    done = await world.upkeep.run()
    numbers = {name: number for name, number in vars(done).items() if number}
    assert numbers == expected


async def give_way(_: str) -> None:
    """Let another task run before a storage call."""
    await asyncio.sleep(0)


# Lost messages ------------------------------------------------------------------------------------------------------


async def test_a_list_in_an_empty_lane_gets_its_message_back(world: World) -> None:
    """Storage has lost the message, or a host died before it was put."""
    one = await world.post()
    world.lose(one)
    await report(world, restored=1)
    assert world.tickets(HIGH) == [Ticket(ingestion_id=one.ingestion_id, generation=0)]
    await report(world)


async def test_what_has_its_message_is_left_alone_and_nobody_waits(world: World) -> None:
    """Waiting, running, and in all lanes."""
    for lane in Priority:
        await world.start_batch((await world.posts(5, lane))[0])
    world.clock.seconds += 1000
    before = world.clock.seconds
    await report(world)
    assert world.clock.seconds == before


async def test_lost_messages_come_back_in_the_order_in_which_they_were_queued(world: World) -> None:
    """All of them lost at once, as when somebody has cleared the queues."""
    accepted = await world.posts(50)
    world.lose(*accepted)
    await report(world, restored=50)
    assert world.queued(HIGH) == [one.ingestion_id for one in accepted]
    await report(world)


async def test_a_message_is_restored_with_the_present_lane_and_generation(world: World) -> None:
    """A message of an older generation would be stale."""
    one = await world.post()
    moved = await world.change(one, lambda row: row.moved(LOW, at=world.clock.now()))
    await world.change(one, lambda row: row.queued(1, at=world.clock.now()))
    await world.backlog.update(moved)
    world.lose(one)
    await report(world, restored=1)
    assert world.tickets(LOW) == [Ticket(ingestion_id=one.ingestion_id, generation=1)]
    assert not world.tickets(HIGH)


async def test_a_list_that_was_lost_behind_others_is_restored_at_the_back(world: World) -> None:
    """Fewer than 32 messages are a whole lane, so it does not matter who is older."""
    one, two, three = await world.posts(3)
    world.lose(two)
    await report(world, restored=1)
    assert world.queued(HIGH) == [one.ingestion_id, three.ingestion_id, two.ingestion_id]


@pytest.mark.parametrize(("older_by", "restored"), [(30, 0), (59, 0), (62, 1)])
async def test_in_a_long_lane_a_row_older_than_its_messages_has_lost_its_own(
    world: World, older_by: float, restored: int
) -> None:
    """The table's clock and the queue's may differ by a minute."""
    one = await world.post()
    world.lose(one)
    world.clock.seconds += older_by
    for _ in range(40):
        await world.post()
    assert (await world.upkeep.run()).restored == restored


async def test_in_a_long_lane_a_restored_message_is_not_restored_again(world: World) -> None:
    """The touch of the row says when its message was put."""
    one = await world.post()
    world.lose(one)
    world.clock.seconds += 100
    await world.posts(40)
    assert [(await world.upkeep.run()).restored for _ in range(3)] == [1, 0, 0]
    assert world.queued(HIGH).count(one.ingestion_id) == 1


async def test_what_lies_behind_the_peeked_is_not_taken_for_lost(world: World) -> None:
    """A peek shows 32 messages, and the others have theirs too."""
    accepted = await world.posts(200)
    world.clock.seconds += 1000
    await report(world)
    assert world.queued(HIGH) == [one.ingestion_id for one in accepted]


@pytest.mark.parametrize("others", [5, 60])
async def test_a_message_is_found_lost_while_an_older_list_waits_for_hours(world: World, others: int) -> None:
    """The older list keeps its place at the front, so the lane's front never gets younger."""
    await world.post()
    world.clock.seconds += 3600
    lost = await world.post()
    world.clock.seconds += 3600
    await world.posts(others)
    world.lose(lost)
    await report(world, restored=1)
    assert world.queued(HIGH)[-1] == lost.ingestion_id


async def test_a_running_list_that_lost_its_message_goes_on(world: World) -> None:
    """The touch does not take the batch from its owner."""
    one = await world.post(count=6)
    await world.start_batch(one)
    world.lose(one)
    await report(world, restored=1)
    flight = (await world.row(one)).flight(0)
    assert flight is not None
    assert (flight.token, flight.running) == ("t0", True)


async def test_the_change_that_restoring_makes_does_not_lose_a_batch_that_ends_meanwhile(world: World) -> None:
    """Both are changes of the present row."""
    one = await world.post()
    await world.start_batch(one)
    world.lose(one)
    other = Ingestions(MemoryStorage(world.account).ingestions)
    now = world.clock.now()

    async def end_before_the_touch(call: str) -> None:
        if call == "table.merge":
            world.on_call = None
            await other.change(
                one.ingestion_id, lambda row: row.batch_ended(0, "t0", has_failed=True, error_count=3).with_end(now)
            )

    world.on_call = end_before_the_touch
    await world.upkeep.run()
    row = await world.row(one)
    assert (row.status, row.error_count) == (Status.FAILED, 3)
    await world.upkeep.run()
    assert await world.closed() == [one.ingestion_id]


# Races with other processes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", ["message", "row"])
async def test_a_list_that_is_accepted_meanwhile_is_left_alone(world: World, first: str) -> None:
    """Message and backlog row are written in parallel: either may be seen without the other."""
    one = world.new()
    await world.ingestions.insert(one, [1, 2, 3])
    other = World()
    other.account, other.clock = world.account, world.clock
    other.start()

    async def complete() -> None:
        if first == "row":
            await other.lanes.put(HIGH, one.ingestion_id)
        else:
            await other.backlog.insert(one)

    world.clock.on_sleep = complete
    if first == "row":
        await world.backlog.insert(one)
    else:
        await world.lanes.put(HIGH, one.ingestion_id)
    await report(world)
    assert world.queued(HIGH) == [one.ingestion_id]
    assert await world.open() == [one.ingestion_id]


async def test_a_list_accepted_between_the_reads_of_rows_and_fronts_is_left_alone(world: World) -> None:
    """The rows are read before the fronts."""
    other = World()
    other.account, other.clock = world.account, world.clock
    other.start()
    await world.post(lane=LOW)

    async def accept_at_the_first_peek(call: str) -> None:
        if call == "queue.peek":
            world.on_call = None
            await other.post()

    world.on_call = accept_at_the_first_peek
    await report(world)
    assert len(world.queued(HIGH)) == 1


async def test_a_list_accepted_just_before_the_rows_are_read_makes_nobody_wait(world: World) -> None:
    """The fronts are read after the rows, so its message is among them."""
    other = World()
    other.account, other.clock = world.account, world.clock
    other.start()
    await report(world)

    async def accept_at_the_first_query(call: str) -> None:
        if call == "table.query":
            world.on_call = None
            await other.post()

    world.on_call = accept_at_the_first_query
    before = world.clock.seconds
    await report(world)
    assert world.clock.seconds - before < 1


async def test_a_message_that_somebody_has_just_received_is_not_lost(world: World) -> None:
    """It is hidden for two seconds, and then visible again."""
    one, two = await world.posts(2)
    await world.storage.lanes[HIGH].receive()
    await report(world)
    assert sorted(world.queued(HIGH)) == sorted([one.ingestion_id, two.ingestion_id])


async def test_a_host_whose_wall_clock_is_two_minutes_behind_queues_nothing_twice(world: World) -> None:
    """Only storage's own clock is compared."""
    accepted = await world.posts(40)
    world.lose(accepted[5])
    world.clock.wall_offset = -120
    await report(world)
    world.clock.seconds += 200
    late = await world.posts(40)
    world.lose(*accepted[:5], *accepted[6:])
    runs = [(await world.upkeep.run()).restored for _ in range(4)]
    world.clock.wall_offset = 0
    world.clock.seconds += 600
    world.start()
    runs += [(await world.upkeep.run()).restored for _ in range(4)]
    queued = world.queued(HIGH)
    assert len(queued) == len(set(queued)) == len(accepted) + len(late)
    assert sum(runs) == len(accepted)


async def test_two_hosts_that_restore_at_once_cost_a_second_message_at_most(world: World) -> None:
    """Each lost list has one or two messages afterwards, and keeps them."""
    one = await world.post()
    world.lose(one)
    other = World()
    other.account, other.clock = world.account, world.clock
    other.start()
    world.on_call = other.on_call = give_way
    await asyncio.gather(world.upkeep.run(), other.upkeep.run())
    assert 1 <= len(world.queued(HIGH)) <= 2
    await report(world)
    await report(other)


async def test_a_second_run_in_one_process_returns_at_once(world: World) -> None:
    """It may be started by hand beside the timer."""
    one = await world.post()
    world.lose(one)
    world.on_call = give_way
    done = await asyncio.gather(world.upkeep.run(), world.upkeep.run())
    assert sorted(run.restored for run in done) == [0, 1]


async def test_a_run_that_breaks_off_at_any_call_is_completed_by_the_next() -> None:
    """Nothing is lost, and what was put twice is not put again."""
    for cut in range(200):
        one = World()
        lost, moved, ended = [await one.post(count=6) for _ in range(3)]
        one.lose(lost)
        await one.change(moved, lambda row, one=one: row.moved(LOW, at=one.clock.now()))
        await one.finish(ended)
        one.fails_after = cut
        try:
            await one.upkeep.run()
        except StorageUnavailable:
            one.fails_after = None
            one.start()
            await one.upkeep.run()
        else:
            assert cut > 20
            return
        assert 1 <= one.queued(HIGH).count(lost.ingestion_id) <= 2, cut
        assert 1 <= one.queued(LOW).count(moved.ingestion_id) <= 2, cut
        assert await one.closed() == [ended.ingestion_id], cut
        assert set(await one.open()) == {lost.ingestion_id, moved.ingestion_id}, cut
        assert (await one.row(moved)).is_queued, cut
        assert not any(vars(await one.upkeep.run()).values()), cut
    raise AssertionError("the run never came to its end")


# Changes of priority that broke off ---------------------------------------------------------------------------------


@pytest.mark.parametrize("backlog_written", [False, True])
@pytest.mark.parametrize("message_put", [False, True])
async def test_a_change_of_priority_that_broke_off_is_completed(
    world: World, *, backlog_written: bool, message_put: bool
) -> None:
    """After the ingestion row come the backlog row, the message and the note that it is queued."""
    one = await world.post()
    moved = await world.change(one, lambda row: row.moved(LOW, at=world.clock.now()))
    if backlog_written:
        await world.backlog.update(moved)
    if message_put:
        await world.lanes.put(LOW, one.ingestion_id, 1)
    await world.upkeep.run()
    assert (await world.row(one)).is_queued
    assert Ticket(ingestion_id=one.ingestion_id, generation=1) in world.tickets(LOW)
    (row,) = await world.backlog.everything()
    assert (row.priority, row.generation) == (LOW, 1)
    await report(world)


async def test_a_backlog_row_that_a_change_of_priority_has_not_reached_is_brought_up_to_date(world: World) -> None:
    """The message is there; only the row is behind."""
    one = await world.post()
    await world.change(one, lambda row: row.moved(LOW, at=world.clock.now()))
    await world.lanes.put(LOW, one.ingestion_id, 1)
    await world.change(one, lambda row: row.queued(1, at=world.clock.now()))
    await report(world, repaired=1)
    (row,) = await world.backlog.everything()
    assert (row.priority, row.generation) == (LOW, 1)
    assert len(world.tickets(LOW)) == 1


async def test_in_a_long_lane_a_backlog_row_that_is_behind_does_not_make_a_message_lost(world: World) -> None:
    """Nobody knows when the message was put: it may lie behind the peeked ones."""
    one = await world.post()
    await world.posts(40, LOW)
    await world.change(one, lambda row: row.moved(LOW, at=world.clock.now()))
    await world.lanes.put(LOW, one.ingestion_id, 1)
    await world.change(one, lambda row: row.queued(1, at=world.clock.now()))
    await report(world, repaired=1)
    assert world.queued(LOW).count(one.ingestion_id) == 1


async def test_a_message_of_an_older_generation_does_not_count(world: World) -> None:
    """It went to another lane and came back; the stale message of its first stay is still there."""
    one = await world.post()
    for lane in (LOW, HIGH):
        moved = await world.change(one, lambda row, lane=lane: row.moved(lane, at=world.clock.now()))
    await world.change(one, lambda row: row.queued(2, at=world.clock.now()))
    await world.backlog.update(moved)
    await report(world, restored=1)
    assert [ticket.generation for ticket in world.tickets(HIGH) if ticket] == [0, 2]


async def test_a_message_is_not_restored_for_a_generation_that_is_over(world: World) -> None:
    """Somebody changes the priority between the look and the touch: that change puts its own message."""
    one = await world.post()
    world.lose(one)
    other = Ingestions(MemoryStorage(world.account).ingestions)

    async def move_before_the_touch(call: str) -> None:
        if call == "table.merge":
            world.on_call = None
            await other.change(one.ingestion_id, lambda row: row.moved(LOW, at=world.clock.now()))

    world.on_call = move_before_the_touch
    await world.upkeep.run()
    row = await world.row(one)
    assert (row.generation, row.is_queued, row.priority) == (1, False, LOW)


# Ends that were left ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("swept", [False, True])
async def test_an_ended_list_that_is_still_in_the_backlog_is_closed(world: World, *, swept: bool) -> None:
    """Its host died before it could; the event is sent once."""
    one = await world.post()
    await world.finish(one)
    if swept:
        world.lose(one)
    await report(world, closed=1)
    assert (await world.open(), await world.closed()) == ([], [one.ingestion_id])
    assert len(await world.storage.events()) == 1
    await report(world)


async def test_an_end_whose_event_could_not_be_sent_is_tried_again(world: World) -> None:
    """Also deep in a long lane, where no look comes."""
    accepted = await world.posts(150)
    one = accepted[40]
    ended = await world.change(one, lambda row: row.cancelled(reason="", at=world.clock.now()).with_end(EPOCH))
    assert ended.has_ended
    runs = [await world.upkeep.run() for _ in range(len(accepted) // CHECKED_PER_RUN + 1)]
    assert sum(run.closed for run in runs) == 1
    assert len(await world.storage.events()) == 1
    assert await world.closed() == [one.ingestion_id]


async def test_a_backlog_row_that_came_late_is_closed_silently(world: World) -> None:
    """The only batch ended, and was closed, before accepting had written the row."""
    one = await world.post()
    ended = await world.finish(one)
    await world.closing.close(ended)
    await world.backlog.insert(one)
    await report(world, closed=1)
    assert await world.open() == []
    assert len(await world.storage.events()) == 1


async def test_a_list_without_a_backlog_row_gets_one(world: World) -> None:
    """Storage has lost the row, and the message is there."""
    one = await world.post()
    await world.backlog.delete(row_key(one))
    await report(world, repaired=1)
    assert await world.open() == [one.ingestion_id]


async def test_a_backlog_row_whose_ingestion_does_not_exist_goes(world: World) -> None:
    """The ingestion row is written before it, so it is gone for good."""
    one = await world.post()
    del world.account.table("ingestions")[str(one.ingestion_id), str(one.ingestion_id)]
    await report(world, forgotten=1)
    assert await world.open() == []


async def test_a_backlog_row_of_an_earlier_list_with_the_same_key_goes(world: World) -> None:
    """Storage lost the ingestion row, and the key was posted again: one row is left, the present one's."""
    ingestion_id = uuid4()
    first = await world.post(ingestion_id=ingestion_id)
    del world.account.table("ingestions")[str(ingestion_id), str(ingestion_id)]
    world.start()
    world.clock.seconds += 10
    second = await world.post(ingestion_id=ingestion_id)
    assert len(await world.open()) == 2
    await report(world, repaired=1)
    assert [key for _, key in world.account.table("backlog")] == [row_key(second)]
    assert row_key(first) != row_key(second)


async def test_an_earlier_backlog_row_of_a_list_that_has_ended_goes(world: World) -> None:
    """Closing the ended list has removed the present row only."""
    ingestion_id = uuid4()
    await world.post(ingestion_id=ingestion_id)
    del world.account.table("ingestions")[str(ingestion_id), str(ingestion_id)]
    world.start()
    world.clock.seconds += 10
    await world.finish_and_close(await world.post(ingestion_id=ingestion_id))
    assert len(await world.open()) == 1
    await report(world, closed=1)
    assert await world.open() == []
    assert await world.closed() == [ingestion_id]


async def test_an_ended_list_that_is_in_neither_table_is_closed(world: World) -> None:
    """Storage has lost its backlog row, and its host died before closing it; its message is still there."""
    one = await world.post()
    await world.backlog.delete(row_key(one))
    await world.finish(one)
    await report(world, closed=1)
    assert await world.closed() == [one.ingestion_id]
    await report(world)


# Cancelled ingestions -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("age", "closed"), [(124.9, 0), (125.0, 1)])
async def test_a_cancelled_list_whose_process_is_gone_ends_after_the_lease(
    world: World, age: float, closed: int
) -> None:
    """By the gate's age; until then the process may still record an end."""
    one = await world.post(count=6)
    await world.start_batch(one, age=100.0)
    await world.change(one, lambda row: row.cancelled(reason="wrong list", at=world.clock.now()))
    world.gate_age = age
    assert (await world.upkeep.run()).closed == closed
    row = await world.row(one)
    assert row.status is (Status.CANCELLED if closed else Status.TRIGGERED)
    assert (row.ended_at is not None) is bool(closed)
    assert await world.closed() == [one.ingestion_id][:closed]


# Rows that cannot be read -------------------------------------------------------------------------------------------


async def test_an_unreadable_ingestion_is_passed_over_with_one_warning(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """It hides nothing else, and does not come up again in every run."""
    broken, lost = await world.posts(2)
    world.lose(broken, lost)
    world.edit("ingestions", (str(broken.ingestion_id),) * 2, id_count="three")
    with caplog.at_level(logging.WARNING):
        await report(world, restored=1)
        await report(world)
    name = f"row {broken.ingestion_id}/{broken.ingestion_id}"
    problem = "property id_count: Input should be a valid integer"
    lines = [record.message for record in caplog.records if "row.unreadable" in record.message]
    assert lines == [f"row.unreadable row={broken.ingestion_id} reason={name}: {problem}"]
    assert world.queued(HIGH) == [lost.ingestion_id]


async def test_a_list_without_its_ids_gets_no_second_message(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """A tick has set its message aside in the poison queue, and would do so again after every run."""
    (one,) = await world.posts(1)
    world.lose(one)
    world.edit("ingestions", (str(one.ingestion_id),) * 2, ids_00=b"")
    with caplog.at_level(logging.WARNING):
        await report(world)
        await report(world)
    assert world.queued(HIGH) == []
    assert [record.message.partition(" reason=")[2] for record in caplog.records] == [
        f"ingestion {one.ingestion_id}: the IDs are incomplete"
    ]


@pytest.mark.parametrize(
    "garbled",
    [
        {"ingestion_id": "no"}, {"priority": "URGENT"}, {"created_at": "yesterday"}, {"batches_left": -1},
        {"generation": "0"}, {"generation": 99}, {"ingestion_id": str(uuid4())}, {"label": 5}, {"priority": "LOW"},
    ],
)  # fmt: skip
async def test_a_garbled_backlog_row_is_repaired_from_the_ingestion_row(
    world: World, garbled: dict[str, object]
) -> None:
    """The key names the ingestion."""
    one = await world.post()
    before = world.account.table("backlog")["open", row_key(one)].entity
    world.edit("backlog", ("open", row_key(one)), **garbled)
    await report(world, repaired=1)
    assert world.account.table("backlog")["open", row_key(one)].entity == before
    assert world.queued(HIGH) == [one.ingestion_id]
    await report(world)


async def test_a_garbled_backlog_row_of_an_ended_list_is_closed_by_its_key(world: World) -> None:
    """And one whose ingestion does not exist is deleted."""
    one, two = await world.posts(2)
    await world.finish(one)
    for each in (one, two):
        world.edit("backlog", ("open", row_key(each)), queued_at="?")
    del world.account.table("ingestions")[str(two.ingestion_id), str(two.ingestion_id)]
    await report(world, closed=1, forgotten=1)
    assert not world.account.table("backlog")


async def test_a_backlog_row_that_names_no_ingestion_is_left_and_named_once(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody knows whose it is."""
    await world.storage.backlog.insert({"PartitionKey": "open", "RowKey": "mine", "note": "do not touch"})
    with caplog.at_level(logging.WARNING):
        await report(world)
        await report(world)
    assert len(caplog.records) == 1
    assert ("open", "mine") in world.account.table("backlog")


# Lists of the first format ------------------------------------------------------------------------------------------


@pytest.fixture
def first(world: World) -> World:
    """An account as the version before this format has left it: it was killed in the middle of a fetch."""
    restore_first_format(world.account)
    return world


OPEN_IN_FIRST_FORMAT = ["running", "second lane", "third lane", "waiting"]


def names(ingestions: list[UUID]) -> list[str]:
    """What the fixture calls these ingestions."""
    by_id = {ingestion_id: name for name, ingestion_id in FIRST_FORMAT["ingestions"].items()}
    return sorted(by_id[str(ingestion_id)] for ingestion_id in ingestions)


async def test_open_lists_of_the_first_format_get_a_backlog_row_once(first: World) -> None:
    """Their messages are still there; the whole table is read once in a process's life."""
    await report(first, carried_over=4)
    queries = first.calls.count("table.query")
    assert names(await first.open()) == OPEN_IN_FIRST_FORMAT
    first.calls.clear()
    await report(first)
    assert first.calls.count("table.query") == queries - 1
    first.start()
    await report(first)


async def test_lists_of_the_first_format_that_have_lost_their_messages_get_them_back(first: World) -> None:
    """Storage has lost the queues; nothing that was accepted is lost."""
    for queue in first.account.queues.values():
        queue.clear()
    await report(first, carried_over=4, restored=4)
    assert names([one for lane in Priority for one in first.queued(lane)]) == OPEN_IN_FIRST_FORMAT
    await report(first)


async def test_a_list_of_the_first_format_that_was_started_before_the_upkeep_gets_a_backlog_row(first: World) -> None:
    """The dispatcher's first tick may come before: the row has the present format then."""
    ingestion_id = UUID(FIRST_FORMAT["ingestions"]["running"])
    now = first.clock.now()
    await first.ingestions.change(
        ingestion_id, lambda row: row.batch_started(1, token="t", age=5000.0, lease=25.0, at=now)
    )
    await report(first, carried_over=3, repaired=1)
    assert names(await first.open()) == OPEN_IN_FIRST_FORMAT


async def test_foreign_rows_do_not_stop_the_upgrade(first: World) -> None:
    """Rows that anybody has put there, and rows that were garbled."""
    await first.storage.ingestions.insert({"PartitionKey": "mine", "RowKey": "mine", "unfinished": True})
    waiting = FIRST_FORMAT["ingestions"]["waiting"]
    first.edit("ingestions", (waiting, waiting), batch_size="three")
    await report(first, carried_over=3)
    assert names(await first.open()) == ["running", "second lane", "third lane"]


# Retention ----------------------------------------------------------------------------------------------------------


def rows_of(world: World, ingestion: Ingestion) -> int:
    """How many rows of the table `ingestions` an ingestion has."""
    return sum(partition == str(ingestion.ingestion_id) for partition, _ in world.account.table("ingestions"))


async def test_what_ended_long_ago_is_deleted_and_nothing_else(world: World) -> None:
    """Batch rows, ingestion row and history row; what is open or ended a moment ago stays."""
    old = await world.finish_and_close(await world.post(count=700))
    waiting = await world.post()
    late = await world.post()
    world.clock.seconds += 20 * DAY
    recent = await world.finish_and_close(await world.post())
    world.clock.seconds += 10 * DAY + 1
    late = await world.finish_and_close(late)
    assert rows_of(world, old) == 235
    await report(world, deleted=1)
    assert [rows_of(world, one) for one in (old, waiting, recent, late)] == [0, 1, 2, 2]
    assert await world.closed() == [recent.ingestion_id, late.ingestion_id]
    assert await world.open() == [waiting.ingestion_id]


async def test_a_list_that_waited_for_31_days_and_has_just_ended_is_kept_for_30_more(world: World) -> None:
    """The time counts from the end."""
    one = await world.post()
    world.clock.seconds += 31 * DAY
    await world.finish_and_close(one)
    await report(world)
    world.clock.seconds += 30 * DAY + 1
    await report(world, deleted=1)


async def test_a_list_that_has_not_ended_is_not_deleted_whatever_the_history_says(world: World) -> None:
    """Storage may have lost the write of its end."""
    one = await world.post()
    await world.history.put(replace(one, started_batches=one.batch_count, ended_at=world.clock.now()))
    world.clock.seconds += 31 * DAY
    await world.upkeep.run()
    assert not (await world.row(one)).has_ended


async def test_zero_days_keep_everything() -> None:
    """For those who need a record of everything."""
    world = World(retention_days=0)
    await world.finish_and_close(await world.post())
    world.clock.seconds += 10_000 * DAY
    await report(world)
    assert len(await world.closed()) == 1


async def test_a_long_list_is_deleted_in_transactions_of_a_hundred(world: World) -> None:
    """With few calls, so that it does not take the storage from others."""
    await world.finish_and_close(await world.post(count=3000))
    world.clock.seconds += 31 * DAY
    world.calls.clear()
    await report(world, deleted=1)
    assert world.calls.count("table.delete_many") == 10
    assert world.calls.count("table.delete") == 2


async def test_retention_goes_on_where_the_last_slice_ended(world: World) -> None:
    """A slice ends after a number of calls, within a long list or between two short ones."""
    for count in (3, 900, 3, 3, 3):
        await world.finish_and_close(await world.post(count=count))
    world.clock.seconds += 31 * DAY
    retention = Retention(world.stores, clock=world.clock, days=30, calls=10)
    slices = []
    for _ in range(20):
        world.calls.clear()
        slices.append(await retention.run())
        assert len(world.calls) <= 25
    assert sum(slices) == 5
    assert len([number for number in slices if number]) > 1
    assert not world.account.table("ingestions")
    assert not world.account.table("history")


async def test_a_slice_begins_with_what_the_last_one_has_not_completed(world: World) -> None:
    """A list that is half deleted should not stay so for longer than needed."""
    await world.finish_and_close(await world.post())
    long = await world.finish_and_close(await world.post(count=900))
    world.clock.seconds += 31 * DAY
    retention = Retention(world.stores, clock=world.clock, days=30, calls=8)
    await retention.run()
    assert rows_of(world, long) == 101
    await retention.run()
    assert rows_of(world, long) == 0


async def test_rows_that_cannot_be_deleted_do_not_use_up_every_slice(world: World) -> None:
    """The next slice goes on behind them."""
    old = await world.finish_and_close(await world.post())
    for _ in range(6):
        broken = await world.finish_and_close(await world.post())
        world.edit("ingestions", (str(broken.ingestion_id),) * 2, id_count="?")
    world.clock.seconds += 31 * DAY
    retention = Retention(world.stores, clock=world.clock, days=30, calls=8)
    assert [await retention.run() for _ in range(4)] == [0, 0, 0, 1]
    assert rows_of(world, old) == 0


async def test_retention_passes_over_what_it_keeps(world: World) -> None:
    """Many that ended a moment ago, and rows that cannot be read, do not hide the old ones behind them."""
    old = await world.finish_and_close(await world.post())
    kept = await world.posts(250)
    broken = await world.finish_and_close(await world.post())
    foreign = await world.finish_and_close(await world.post())
    world.edit("ingestions", (str(broken.ingestion_id),) * 2, id_count="?")
    (key,) = [key for key in world.account.table("history") if key[1] == row_key(foreign)]
    world.edit("history", key, ended_at="?")
    world.clock.seconds += 31 * DAY
    for one in kept:
        await world.finish_and_close(one)
    await report(world, deleted=1)
    assert rows_of(world, old) == 0
    assert rows_of(world, broken) == 2
    assert rows_of(world, foreign) == 2


async def test_retention_that_is_cut_anywhere_leaves_a_list_that_is_posted_again_alone() -> None:
    """The same key is posted again before the next slice."""
    cuts = 0
    for cut in range(100):
        world = World()
        ingestion_id = uuid4()
        await world.finish_and_close(await world.post(count=400, ingestion_id=ingestion_id))
        world.clock.seconds += 31 * DAY
        retention = Retention(world.stores, clock=world.clock, days=30)
        world.fails_after = cut
        try:
            await retention.run()
        except StorageUnavailable:
            cuts += 1
        else:
            break
        world.fails_after = None
        world.start()
        again = None
        if (str(ingestion_id), str(ingestion_id)) not in world.account.table("ingestions"):
            again = await world.finish(await world.post(count=6, ingestion_id=ingestion_id))
        await world.upkeep.run()
        assert len(world.account.table("ingestions")) == (3 if again else 0), cut
        assert len(await world.closed()) == (1 if again else 0), cut
    assert cuts > 5


async def test_a_list_that_is_changed_while_it_is_deleted_is_kept_until_the_next_slice(world: World) -> None:
    """Somebody has asked for a retry."""
    one = await world.finish_and_close(await world.post())
    world.clock.seconds += 31 * DAY
    other = Ingestions(MemoryStorage(world.account).ingestions)

    async def change_before_the_deletion(call: str) -> None:
        if call == "table.delete":
            world.on_call = None
            await other.change(one.ingestion_id, lambda row: replace(row, retries=1))

    world.on_call = change_before_the_deletion
    await report(world)
    assert (await world.row(one)).retries == 1
    await report(world, deleted=1)


async def test_the_second_look_comes_after_every_call_of_the_first_has_taken_effect(world: World) -> None:
    """A storage call ends within four seconds, and a received message is hidden for two."""
    one = await world.post()
    world.lose(one)
    before = world.clock.seconds
    await world.upkeep.run()
    assert world.clock.seconds - before == SETTLE_SECONDS >= 6
