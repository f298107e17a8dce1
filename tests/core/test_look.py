"""Tests of the look: which batch it finds, what it would remove, and what it reads on the way."""

import asyncio
from uuid import UUID, uuid4

import pytest

from ingest_core.dispatch.attempt import Failed
from ingest_core.dispatch.gate import Gate
from ingest_core.dispatch.look import BACKLOG_SECONDS, Look, Sight
from ingest_core.dispatch.outage import ApiState
from ingest_core.dispatch.running import Running
from ingest_core.dispatch.settlement import Rules, StartedBatch
from ingest_core.models import Ingestion, Priority
from ingest_core.ports import PEEKED
from ingest_core.storage.gate_row import GateRow, Pause
from ingest_core.storage.memory import MemoryStorage
from tests.support.dispatching import Api, Host, World, in_virtual_time
from tests.support.virtual_time import EPOCH

FAILED = Failed(error="500", items=[], had_answer=False)


class Looking:
    """A process that looks, and the account that it looks at."""

    def __init__(self, api: Api | None = None) -> None:
        self.world = World()
        self.host: Host = self.world.host(api)
        stores, clock = self.host.stores, self.host.clock
        self.gate = Gate(stores.gate, clock, interval=5.0)
        self.running = Running(
            stores,
            gate=self.gate,
            source=self.host.api,
            source_timeout_seconds=10.0,
            clock=clock,
            rules=Rules(max_attempts=5, interval=5.0, max_retry_after=3600.0),
        )
        self._look = Look(stores, gate=self.gate, running=self.running, clock=clock)

    async def look(self) -> Sight:
        """Look at the gate, then into the lanes."""
        await self.gate.look()
        return await self._look.look()

    async def next_batch(self) -> tuple[UUID, int, list[int]]:
        """The batch that the look finds, and its IDs."""
        candidate = (await self.look()).candidate
        assert candidate is not None
        return candidate.batch.ingestion.ingestion_id, candidate.batch.index, list(candidate.batch.ids)

    async def start(self, ingestion_id: UUID, index: int = 0, *, age: float = 0.0, lease: float = 25.0) -> None:
        """Write a start of another process into the row."""
        await self.world.stores.ingestions.change(
            ingestion_id, lambda row: row.batch_started(index, token="other", age=age, lease=lease, at=EPOCH)
        )

    async def fail(self, ingestion_id: UUID, index: int = 0, *, not_before: float, times: int = 1) -> None:
        """Write failed attempts of another process into the row."""

        def failed(row: Ingestion) -> Ingestion | None:
            for _ in range(times):
                started = row.batch_started(index, token="other", age=0.0, lease=25.0, at=EPOCH)
                after = started.attempt_failed(index, "other", error="500", counts=True, not_before=not_before)
                assert after is not None
                row = after
            return row

        await self.world.stores.ingestions.change(ingestion_id, failed)

    async def end(self, ingestion_id: UUID) -> None:
        """End an ingestion, and leave its message where it is."""
        await self.world.stores.ingestions.change(
            ingestion_id, lambda row: row.cancelled(reason="", at=EPOCH).with_end(EPOCH)
        )

    def take_the_api_to_be_down(self) -> None:
        """Three different batches have failed in this process."""
        state = ApiState()
        for index in range(3):
            state = state.after((UUID(int=99), index), FAILED)
        self.running.api = state


@in_virtual_time
async def test_the_first_batch_of_the_oldest_list_in_the_highest_lane_is_next() -> None:
    """With its IDs; lower lanes are not looked into."""
    looking = Looking()
    await looking.world.post([1], Priority.LOW)
    oldest = await looking.world.post([11, 12, 13, 14], Priority.MEDIUM)
    await looking.world.post([21], Priority.MEDIUM)
    assert await looking.next_batch() == (oldest, 0, [11, 12, 13])
    assert "ingest-low peek" not in looking.host.wire.calls


@in_virtual_time
async def test_nothing_waits_in_empty_lanes() -> None:
    """There is no candidate, and nothing to remove or to wait for."""
    sight = await Looking().look()
    assert (sight.candidate, sight.waits, sight.abandoned) == (None, False, [])
    assert not any(sight.removable.values())


@in_virtual_time
async def test_a_batch_that_runs_elsewhere_is_passed_over() -> None:
    """The next one of the same list follows, then the next list."""
    looking = Looking()
    first, second = await looking.world.post([1, 2, 3, 4]), await looking.world.post([11])
    await looking.start(first)
    assert await looking.next_batch() == (first, 1, [4])
    await looking.start(first, 1)
    assert await looking.next_batch() == (second, 0, [11])
    assert (await looking.look()).waits


@in_virtual_time
async def test_a_batch_whose_lease_is_over_goes_before_the_ones_behind_it() -> None:
    """Its process is known to be gone: gate time says so, no clock."""
    looking = Looking()
    posted = await looking.world.post([1, 2, 3, 4])
    await looking.look()
    await looking.start(posted, age=0.0, lease=25.0)
    assert await looking.next_batch() == (posted, 1, [4])
    await asyncio.sleep(24.9)
    assert await looking.next_batch() == (posted, 1, [4])
    await asyncio.sleep(0.3)
    assert await looking.next_batch() == (posted, 0, [1, 2, 3])


@in_virtual_time
async def test_a_batch_starts_again_when_its_back_off_is_over() -> None:
    """Until then the batches behind it go."""
    looking = Looking()
    posted = await looking.world.post([1, 2, 3, 4])
    await looking.fail(posted, not_before=10.0)
    assert await looking.next_batch() == (posted, 1, [4])
    await asyncio.sleep(10.2)
    assert await looking.next_batch() == (posted, 0, [1, 2, 3])


@in_virtual_time
async def test_a_paused_lane_is_not_even_peeked_at() -> None:
    """The lanes below go on."""
    looking = Looking()
    await looking.world.stores.gate.set_pause(
        "HIGH", Pause(since=EPOCH), gate=GateRow(slot=0, token="none", age=0.0, due=0.0)
    )
    await looking.world.post([1], Priority.HIGH)
    low = await looking.world.post([2], Priority.LOW)
    assert await looking.next_batch() == (low, 0, [2])
    assert "ingest-high peek" not in looking.host.wire.calls


@in_virtual_time
async def test_ended_stale_and_foreign_messages_hide_nothing_and_let_no_lower_lane_run() -> None:
    """They can be removed; those that are not ours say why."""
    looking = Looking()
    world = looking.world
    ended = await world.post([1], Priority.HIGH)
    await looking.end(ended)
    moved = await world.post([2], Priority.HIGH)
    await world.stores.ingestions.change(moved, lambda row: row.moved(Priority.LOW, at=EPOCH))
    world.account.put("ingest-high", "{}")
    await world.stores.lanes.put(Priority.HIGH, uuid4())
    waiting = await world.post([3], Priority.HIGH)
    await world.post([4], Priority.MEDIUM)
    sight = await looking.look()
    assert sight.candidate is not None
    assert sight.candidate.batch.ingestion.ingestion_id == waiting
    assert [one.poison_reason for one in sight.removable[Priority.HIGH]] == [
        "",
        "",
        "it is not a message of this service",
        "its ingestion does not exist",
    ]


@in_virtual_time
async def test_a_list_that_was_moved_away_and_back_has_lost_its_old_place() -> None:
    """The message of its first generation is stale although it lies in the right lane."""
    looking = Looking()
    world = looking.world
    moved, waiting = await world.post([1], Priority.HIGH), await world.post([2], Priority.HIGH)
    for lane in (Priority.LOW, Priority.HIGH):
        await world.stores.ingestions.change(moved, lambda row, lane=lane: row.moved(lane, at=EPOCH))
    await world.stores.lanes.put(Priority.HIGH, moved, 2)
    assert await looking.next_batch() == (waiting, 0, [2])


@pytest.mark.parametrize(
    "text",
    ["", "null", "[]", "5", '{"format": 3, "ingestion_id": "x"}', '{"format": 2, "ingestion_id": 5}', "[" * 9999],
)
@in_virtual_time
async def test_no_text_of_a_message_stops_the_look(text: str) -> None:
    """Whoever can write to the queue can write anything."""
    looking = Looking()
    looking.world.account.put("ingest-low", text)
    posted = await looking.world.post([1])
    sight = await looking.look()
    assert sight.candidate is not None
    assert sight.candidate.batch.ingestion.ingestion_id == posted
    assert len(sight.removable[Priority.LOW]) == 1


@in_virtual_time
async def test_only_messages_before_the_first_one_that_stays_can_be_removed() -> None:
    """A receive takes the front message: nothing behind one that stays is touched."""
    looking = Looking()
    world = looking.world
    world.account.put("ingest-low", "foreign")
    running = await world.post([1])
    await looking.start(running)
    world.account.put("ingest-low", "also foreign")
    sight = await looking.look()
    assert [one.message.text for one in sight.removable[Priority.LOW]] == ["foreign"]


@in_virtual_time
async def test_a_row_that_cannot_be_read_is_removed_with_the_reason() -> None:
    """It names the property."""
    looking = Looking()
    posted = await looking.world.post([1])
    await MemoryStorage(looking.world.account).ingestions.merge(
        {"PartitionKey": str(posted), "RowKey": str(posted), "batch_size": 0}, etag=None
    )
    sight = await looking.look()
    [removable] = sight.removable[Priority.LOW]
    assert "batch_size" in removable.poison_reason


@in_virtual_time
async def test_where_the_front_offers_nothing_the_look_goes_on_in_the_backlog() -> None:
    """Thirty-two lists that are fully in flight hide no other one, and no lower lane runs instead."""
    looking = Looking()
    world = looking.world
    for _ in range(PEEKED):
        await looking.start(await world.post([1], Priority.HIGH))
    behind = await world.post([2], Priority.HIGH)
    await asyncio.sleep(1)
    await world.post([3], Priority.HIGH)
    await world.post([4], Priority.LOW)
    assert await looking.next_batch() == (behind, 0, [2])
    assert looking.host.wire.calls.count("ingestions get") == PEEKED + 1


@in_virtual_time
async def test_what_the_front_has_shown_is_not_read_again_in_the_backlog() -> None:
    """Nor is a list of another lane: a look over three full lanes has to fit between two slots."""
    looking = Looking()
    for _ in range(PEEKED + 1):
        await looking.start(await looking.world.post([1], Priority.HIGH))
    await looking.world.post([2], Priority.LOW)
    await looking.look()
    assert looking.host.wire.calls.count("ingestions get") == PEEKED + 2


@in_virtual_time
async def test_the_ordered_backlog_is_kept_for_two_seconds() -> None:
    """Then it is read again."""
    looking = Looking()
    for _ in range(PEEKED + 1):
        await looking.start(await looking.world.post([1]))
    for _ in range(3):
        await looking.look()
    assert looking.host.wire.calls.count("backlog query") == 1
    await asyncio.sleep(BACKLOG_SECONDS)
    await looking.look()
    assert looking.host.wire.calls.count("backlog query") == 2


@in_virtual_time
async def test_the_backlog_is_not_read_where_the_front_is_short() -> None:
    """All messages of the lane were seen then."""
    looking = Looking()
    await looking.start(await looking.world.post([1]))
    await looking.look()
    assert "backlog query" not in looking.host.wire.calls


@in_virtual_time
async def test_what_is_known_to_have_ended_is_not_read_again() -> None:
    """Its message is still there."""
    looking = Looking()
    await looking.end(await looking.world.post([1]))
    await looking.look()
    assert looking.host.wire.calls.count("ingestions get") == 1
    sight = await looking.look()
    assert looking.host.wire.calls.count("ingestions get") == 1
    assert len(sight.removable[Priority.LOW]) == 1


@in_virtual_time
async def test_a_list_that_runs_here_as_a_whole_is_not_read() -> None:
    """This process knows better than storage what it runs."""
    looking = Looking(Api(seconds=60.0))
    posted = await looking.world.post([1])
    await looking.look()
    await looking.host.stores.ingestions.change(
        posted, lambda row: row.batch_started(0, token="mine", age=0.0, lease=25.0, at=EPOCH)
    )
    batch = StartedBatch(
        ingestion_id=posted,
        lane=Priority.LOW,
        index=0,
        ids=[1],
        token="mine",
        started_at=EPOCH,
        attempts=1,
        failures=0,
    )
    assert await looking.running.start(batch, may_send=lambda: True)
    looking.host.wire.calls.clear()
    sight = await looking.look()
    assert (sight.candidate, sight.waits) == (None, False)
    assert "ingestions get" not in looking.host.wire.calls


@in_virtual_time
async def test_the_greatest_age_of_a_mark_is_reported() -> None:
    """A gate that is behind it has lost its last writes."""
    looking = Looking()
    first, second = await looking.world.post([1]), await looking.world.post([2])
    await looking.start(first, age=700.0)
    await looking.start(second, age=600.0)
    assert (await looking.look()).greatest_age == 700.0


@in_virtual_time
async def test_a_cancelled_list_with_a_batch_whose_process_is_gone_is_reported() -> None:
    """Not before the lease is over."""
    looking = Looking()
    posted = await looking.world.post([1, 2, 3, 4])
    await looking.look()
    await looking.start(posted)
    await looking.world.stores.ingestions.change(posted, lambda row: row.cancelled(reason="", at=EPOCH))
    sight = await looking.look()
    assert (sight.candidate, sight.abandoned) == (None, [])
    await asyncio.sleep(25.2)
    sight = await looking.look()
    assert [one.ingestion_id for one in sight.abandoned] == [posted]
    assert sight.candidate is None


@in_virtual_time
async def test_while_the_api_is_down_the_batch_with_the_fewest_starts_is_next_over_all_lanes() -> None:
    """Ties go by the usual order."""
    looking = Looking()
    high, medium, low = [await looking.world.post([1, 2, 3, 4], lane) for lane in Priority]
    await looking.fail(high, not_before=0.0, times=3)
    await looking.fail(medium, not_before=0.0, times=1)
    await looking.fail(low, not_before=0.0, times=1)
    assert await looking.next_batch() == (high, 0, [1, 2, 3])
    looking.take_the_api_to_be_down()
    assert await looking.next_batch() == (medium, 0, [1, 2, 3])


@in_virtual_time
async def test_while_the_api_is_down_the_batch_with_the_fewest_starts_is_found_behind_the_fronts_too() -> None:
    """Neither a batch of a higher lane nor an earlier one in the backlog ends the look."""
    looking = Looking()
    world = looking.world
    await looking.fail(await world.post([1], Priority.HIGH), not_before=0.0, times=3)
    for _ in range(PEEKED):
        await looking.start(await world.post([2]), age=0.0)
    await asyncio.sleep(1)
    await looking.fail(await world.post([3]), not_before=0.0, times=2)
    fewest = await world.post([4])
    looking.take_the_api_to_be_down()
    assert await looking.next_batch() == (fewest, 0, [4])


@in_virtual_time
async def test_while_the_api_is_down_a_list_with_a_batch_in_flight_starts_no_new_one() -> None:
    """A list that never started does start one."""
    looking = Looking()
    begun, new = await looking.world.post([1, 2, 3, 4]), await looking.world.post([11])
    await looking.fail(begun, not_before=1000.0)
    looking.take_the_api_to_be_down()
    assert await looking.next_batch() == (new, 0, [11])


@in_virtual_time
async def test_while_the_api_is_down_the_batch_with_the_fewest_starts_of_a_list_is_next() -> None:
    """Neither the first that may start, nor one that never started; a list behind it may have one with fewer."""
    looking = Looking()
    posted = await looking.world.post(range(9))
    await looking.fail(posted, 0, not_before=0.0, times=2)
    await looking.fail(posted, 1, not_before=0.0, times=1)
    looking.take_the_api_to_be_down()
    assert await looking.next_batch() == (posted, 1, [3, 4, 5])
    fresh = await looking.world.post([11])
    assert await looking.next_batch() == (fresh, 0, [11])
