"""Tests of ticks, on the virtual loop: which batch starts when, whatever becomes of the ticks, hosts and calls."""

import asyncio
import json
import logging
from functools import partial
from itertools import pairwise

import pytest

from ingest_core.dispatch.dispatcher import TICK_SECONDS, Tick
from ingest_core.errors import AttemptFailed, ItemRejected, SourceUnavailable, StorageUnavailable
from ingest_core.models import Priority, Status
from ingest_core.ports import Answer
from ingest_core.storage.gate_row import GateRow, Pause
from ingest_core.storage.ingestions import Change
from ingest_core.storage.memory import MemoryStorage
from tests.support.dispatching import Api, Host, World, in_virtual_time, keep_ticking, kill
from tests.support.virtual_time import EPOCH, HostClock, true_time

LEASE_SECONDS = 25.0


def broken(_: int) -> Answer:
    """An API that fails."""
    return AttemptFailed("500")


def fails_for(*broken_ids: int) -> Api:
    """An API that always fails for these IDs."""
    return Api(answer=lambda item_id: AttemptFailed("500") if item_id in broken_ids else json.dumps(item_id))


# Order and rate ---------------------------------------------------------------------------------------------------


@in_virtual_time
async def test_a_list_is_worked_through_in_order_one_batch_per_interval() -> None:
    """Its message and backlog row are gone at the end, and its history row is there."""
    world = World()
    host = world.host()
    posted = await world.post(range(1, 9))
    await keep_ticking(host, until=40)
    assert [fetch.ids for fetch in host.api.fetches] == [(1, 2, 3), (4, 5, 6), (7, 8)]
    assert all(5.0 <= gap < 5.02 for gap in host.api.gaps)
    ingestion = await world.ingestion(posted)
    assert ingestion.status is Status.COMPLETED
    assert ingestion.ended_at is not None
    assert world.waiting() == 0
    assert [row async for row in world.stores.backlog.rows()] == []
    assert len([row async for row in world.stores.history.rows()]) == 1
    assert [record.items for record in await world.stores.ingestions.results(posted, 0, 3, enough_bytes=10**6)][2][
        0
    ].data == "7"


@in_virtual_time
async def test_the_highest_lane_goes_first_and_the_oldest_list_within_it() -> None:
    """A list that arrives later in a higher lane overtakes at the next slot."""
    world = World()
    host = world.host()
    await world.post([1, 2, 3, 4, 5, 6], Priority.LOW)
    await world.post([11], Priority.MEDIUM)
    await world.post([21], Priority.HIGH)
    await asyncio.sleep(1)
    await world.post([31], Priority.HIGH)
    ticking = asyncio.create_task(keep_ticking(host, until=50))
    await asyncio.sleep(22.5)
    await world.post([41], Priority.HIGH)
    await ticking
    assert host.api.first_ids == [21, 31, 11, 1, 41, 4]


@pytest.mark.parametrize(("interval", "schedule"), [(5.0, 5.0), (1.0, 1.0), (0.2, 1.0)])
@pytest.mark.parametrize("intervals", [0.05, 1.0, 3.0])
@in_virtual_time
async def test_no_slot_is_wasted_however_long_a_fetch_takes(interval: float, schedule: float, intervals: float) -> None:
    """At least 99.5 % of the slots are used, none is too early, and the order holds."""
    world = World()
    host = world.host(Api(seconds=intervals * interval), interval=interval, max_in_flight=8)
    await world.post(range(900))
    await keep_ticking(host, until=220 * interval + 20, schedule=schedule)
    gaps = host.api.gaps[:200]
    assert len(gaps) == 200
    assert min(gaps) >= interval * 0.9999
    assert interval * len(gaps) / sum(gaps) >= 0.995
    assert host.api.first_ids == sorted(host.api.first_ids)


@pytest.mark.parametrize("interval", [6.0, 7.0])
@in_virtual_time
async def test_an_interval_that_is_no_multiple_of_the_schedule_costs_no_slot(interval: float) -> None:
    """A tick waits for a slot that is due before the next one fires."""
    world = World()
    host = world.host(interval=interval)
    await world.post(range(300))
    await keep_ticking(host, until=60 * interval, schedule=5.0)
    assert min(host.api.gaps) >= interval * 0.9999
    assert interval * len(host.api.gaps) / sum(host.api.gaps) >= 0.995


@in_virtual_time
async def test_hosts_whose_clocks_disagree_share_the_slots_and_never_start_too_early() -> None:
    """Three of them, a minute apart and 0.1 % fast or slow; every batch is fetched once."""
    world = World()
    api = Api(seconds=0.5)
    clocks = [HostClock(base=1e6 * n, rate=1 + (n - 1) * 0.001, wall_offset=60.0 * n) for n in range(3)]
    hosts = [world.host(api, clock=clock) for clock in clocks]
    await world.post(range(300))
    await asyncio.gather(*(keep_ticking(host, until=540) for host in hosts))
    assert min(api.gaps) >= 5 * 0.999
    assert sorted(api.first_ids) == list(range(0, 300, 3))
    assert max(api.gaps) < 7.5


@in_virtual_time
async def test_a_host_whose_clock_wakes_it_early_does_not_send_early() -> None:
    """An event loop's timer may be as coarse as 16 ms."""
    world = World()
    host = world.host(clock=HostClock(early=0.016))
    await world.post(range(30))
    await keep_ticking(host, until=60)
    assert min(host.api.gaps) >= 5.0


@in_virtual_time
async def test_no_more_than_max_in_flight_batches_are_fetched_at_once() -> None:
    """A place is free when its fetch is over."""
    world = World()
    host = world.host(Api(seconds=9.9), interval=1.0, max_in_flight=2)
    await world.post(range(60))
    await keep_ticking(host, until=60, schedule=1.0)
    fetches = host.api.fetches
    for fetch in fetches:
        assert sum(other.at <= fetch.at < other.at + 9.9 for other in fetches) <= 2
    assert len(fetches) >= 9


@in_virtual_time
async def test_one_batch_after_another_is_what_a_limit_of_one_means() -> None:
    """The next fetch begins after the one before it has ended."""
    world = World()
    host = world.host(Api(seconds=3.0), interval=1.0, max_in_flight=1)
    await world.post(range(30))
    await keep_ticking(host, until=40, schedule=1.0)
    assert min(host.api.gaps) >= 3.0
    assert len(host.api.fetches) >= 8


# Ticks ------------------------------------------------------------------------------------------------------------


@in_virtual_time
async def test_a_tick_without_work_ends_after_three_peeks() -> None:
    """Idle, it writes nothing."""
    world = World()
    host = world.host()
    await host.dispatcher.tick()
    await asyncio.sleep(10)
    host.wire.calls.clear()
    assert await host.dispatcher.tick() is Tick.IDLE
    assert host.wire.calls == ["ingest-high peek", "ingest-medium peek", "ingest-low peek"]


@in_virtual_time
async def test_a_tick_whose_slot_is_far_away_ends_at_once() -> None:
    """The next one looks again."""
    world = World()
    host = world.host(interval=60.0)
    await world.post(range(6))
    assert await host.dispatcher.tick() is Tick.NOT_DUE
    assert true_time() < 1


@in_virtual_time
async def test_a_second_tick_of_a_process_returns_at_once() -> None:
    """Whoever runs the timer by hand disturbs nothing."""
    world = World()
    host = world.host()
    await world.post(range(3))
    first = asyncio.create_task(host.dispatcher.tick())
    await asyncio.sleep(1)
    asked_at = true_time()
    assert await host.dispatcher.tick() is Tick.ALREADY_RUNNING
    assert true_time() == asked_at
    await first
    assert len(host.api.fetches) == 1


@in_virtual_time
async def test_a_tick_ends_after_a_minute_and_hands_over_to_the_next() -> None:
    """No slot is lost between them, and no batch is fetched twice."""
    world = World()
    host = world.host(Api(seconds=8.0))
    await world.post(range(90))
    outcomes = await keep_ticking(host, until=150)
    assert outcomes.count(Tick.HANDED_OVER) >= 2
    assert host.api.first_ids == sorted(set(host.api.first_ids))
    assert max(host.api.gaps) < 5.05
    assert TICK_SECONDS == 60.0


@in_virtual_time
async def test_the_gate_is_released_once_at_the_end_of_a_tick_and_not_between_two_slots() -> None:
    """The owner needs no release in order to start again, and the others may take the gate when it could."""
    world = World()
    host = world.host(Api(seconds=8.0))
    await world.post(range(90))
    assert await host.dispatcher.tick() is Tick.HANDED_OVER
    assert host.wire.calls.count("dispatch merge") == len(host.api.fetches) + 1
    row = await world.gate()
    assert row.due - row.age < 5.0


@in_virtual_time
async def test_a_worker_whose_host_is_gone_starts_nothing_more() -> None:
    """What it runs already goes on."""
    world = World()
    is_orphan = False
    host = world.host(Api(seconds=8.0), is_orphaned=lambda: is_orphan)
    posted = await world.post(range(9))
    ticking = asyncio.create_task(keep_ticking(host, until=30))
    await asyncio.sleep(7)
    is_orphan = True
    assert Tick.ORPHANED in await ticking
    assert host.api.first_ids == [0]
    assert (await world.ingestion(posted)).completed_count == 1


@in_virtual_time
async def test_log_lines_come_out_in_the_tick_that_is_running(caplog: pytest.LogCaptureFixture) -> None:
    """The host drops the lines of a task whose own tick is over, so none is written between two ticks."""
    caplog.set_level(logging.INFO, "ingest_core")
    world = World()
    host = world.host(Api(seconds=2.0))
    await world.post(range(3))
    ticking = asyncio.create_task(host.dispatcher.tick())
    await asyncio.sleep(7)
    ticking.cancel()
    await asyncio.gather(ticking, return_exceptions=True)
    await asyncio.sleep(5)
    assert "batch.completed" not in caplog.text
    await host.dispatcher.tick()
    assert "batch.completed" in caplog.text
    assert "ingestion.completed" in caplog.text


# Failures of the API ----------------------------------------------------------------------------------------------


@in_virtual_time
async def test_a_failed_batch_is_tried_again_while_others_go_on() -> None:
    """It waits twice, four times, eight times the interval, and ends after five attempts."""
    world = World()
    host = world.host(fails_for(1))
    posted = await world.post(range(1, 61))
    await keep_ticking(host, until=260)
    attempts = [fetch.at for fetch in host.api.fetches if fetch.ids[0] == 1]
    waits = [later - earlier for earlier, later in pairwise(attempts)]
    assert len(attempts) == 5
    for wait, least in zip(waits, [10, 20, 40, 80], strict=True):
        assert least <= wait <= least + 6
    assert max(host.api.gaps[:20]) < 5.05
    ingestion = await world.ingestion(posted)
    assert ingestion.status is Status.FAILED
    assert ingestion.batch_status(0) is Status.FAILED
    assert ingestion.completed_count == 19
    assert len(world.poisoned()) == 1


@in_virtual_time
async def test_a_further_attempt_asks_only_for_the_ids_without_data() -> None:
    """What was delivered is in the record at the end."""
    world = World()
    host = world.host(fails_for(2))
    posted = await world.post([1, 2, 3])
    ticking = asyncio.create_task(keep_ticking(host, until=60))
    await asyncio.sleep(10)
    host.api.answer = str
    await ticking
    assert [fetch.ids for fetch in host.api.fetches] == [(1, 2, 3), (2,)]
    [record] = await world.stores.ingestions.results(posted, 0, 1, enough_bytes=10**6)
    assert [item.data for item in record.items] == ["1", "2", "3"]


@in_virtual_time
async def test_a_final_error_completes_the_batch() -> None:
    """The ID has an error, and is not asked for again."""
    world = World()
    host = world.host(Api(answer=lambda item_id: ItemRejected("404") if item_id == 2 else str(item_id)))
    posted = await world.post([1, 2, 3])
    await keep_ticking(host, until=30)
    ingestion = await world.ingestion(posted)
    assert (ingestion.status, ingestion.error_count) == (Status.COMPLETED, 1)
    assert len(host.api.fetches) == 1


@in_virtual_time
async def test_nothing_starts_while_the_api_asks_to_wait() -> None:
    """In no lane and on no host; then the same batch goes first."""
    world = World()
    api = Api(answer=lambda _: SourceUnavailable("429", retry_after_seconds=30))
    hosts = [world.host(api), world.host(api, clock=HostClock(base=5.0))]
    await world.post(range(6))
    ticking = asyncio.gather(*(keep_ticking(host, until=70) for host in hosts))
    await asyncio.sleep(10)
    api.answer = str
    await world.post([100], Priority.HIGH)
    await ticking
    assert 30 <= api.gaps[0] < 33
    assert api.first_ids == [0, 100, 0, 3]


@pytest.mark.parametrize("seconds", [4.5, 4.7, 4.95])
@in_virtual_time
async def test_a_throttle_that_comes_while_the_next_start_is_prepared_stops_it(seconds: float) -> None:
    """Before the take, during the mark, or just before the send: the batch is sent when the wait is over."""
    world = World()
    api = Api(seconds=seconds, answer=lambda _: SourceUnavailable("429", retry_after_seconds=30))
    host = world.host(api)
    host.wire.seconds["ingestions merge"] = 0.3
    await world.post(range(6))
    await keep_ticking(host, until=40)
    assert api.gaps[0] >= 30 + seconds


@in_virtual_time
async def test_a_throttle_outlives_the_process_that_learned_of_it() -> None:
    """A fresh process reads it from the gate, and processes that live for a dozen seconds get through it."""
    world = World()
    api = Api(answer=lambda _: SourceUnavailable("429", retry_after_seconds=40))
    first = world.host(api)
    await world.post(range(3))
    await keep_ticking(first, until=9)
    await first.dispatcher.stop()
    api.answer = str
    for number in range(6):
        await keep_ticking(world.host(api, clock=HostClock(base=number * 100.0)), until=true_time() + 12)
    assert len(api.fetches) == 2
    assert 40 <= api.gaps[0] < 65


@in_virtual_time
async def test_processes_that_live_for_a_dozen_seconds_get_through_a_lease() -> None:
    """While a batch waits for an age and nothing may start, the age is written down."""
    world = World()
    posted = await world.post(range(3))
    await world.stores.ingestions.change(
        posted, lambda row: row.batch_started(0, token="gone", age=0.0, lease=LEASE_SECONDS, at=EPOCH)
    )
    api = Api()
    for number in range(8):
        await keep_ticking(world.host(api, clock=HostClock(base=number * 100.0)), until=true_time() + 12)
    assert api.first_ids == [0]
    assert api.fetches[0].at >= LEASE_SECONDS


@in_virtual_time
async def test_an_api_that_fails_for_three_different_batches_is_taken_to_be_down(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The gate is throttled, failures do not count, and the first answer ends it; nobody's batch has failed."""
    caplog.set_level(logging.INFO, "ingest_core")
    world = World()
    host = world.host(Api(answer=broken))
    lists = [await world.post(range(10 * n, 10 * n + 6)) for n in range(1, 4)]
    ticking = asyncio.create_task(keep_ticking(host, until=1500))
    await asyncio.sleep(1000)
    assert (await world.gate()).down_since
    assert len(host.api.fetches) < 30
    assert max(host.api.gaps) < 66
    host.api.answer = str
    await ticking
    assert not (await world.gate()).down_since
    assert caplog.text.count("source.down") == 1
    assert caplog.text.count("source.up") == 1
    for one in lists:
        assert (await world.ingestion(one)).status is Status.COMPLETED
    assert world.poisoned() == []


@in_virtual_time
async def test_while_the_api_is_down_the_batch_with_the_fewest_starts_goes() -> None:
    """A list with a batch in flight starts no new one, so a few lists cannot fill up with broken batches."""
    world = World()
    host = world.host(Api(answer=broken))
    lists = [await world.post(range(100 * n, 100 * n + 30), Priority.HIGH) for n in range(1, 4)]
    low = await world.post([900], Priority.LOW)
    await keep_ticking(host, until=400)
    starts = [len([first for first in host.api.first_ids if first == each]) for each in (100, 200, 300, 900)]
    assert host.api.first_ids[3] in {200, 900}
    assert max(starts) - min(starts) <= 3
    for one in lists:
        assert (await world.ingestion(one)).started_batches <= 3
    assert (await world.ingestion(low)).started_batches == 1


@in_virtual_time
async def test_two_poisonous_batches_fail_after_five_attempts_and_stop_nobody() -> None:
    """Two are not an outage, so their failures count."""
    world = World()
    host = world.host(fails_for(1, 4))
    posted = await world.post(range(1, 31))
    await keep_ticking(host, until=300)
    ingestion = await world.ingestion(posted)
    assert (ingestion.failed_count, ingestion.completed_count) == (2, 8)
    assert [host.api.first_ids.count(first) for first in (1, 4)] == [5, 5]
    assert len(world.poisoned()) == 2


@in_virtual_time
async def test_five_poisonous_batches_at_the_front_do_not_stop_a_healthy_list() -> None:
    """The rule of the fewest starts lets it through, and its answers let the poisonous ones fail."""
    world = World()
    host = world.host(fails_for(*range(1, 16)))
    poisonous = await world.post(range(1, 16), Priority.HIGH)
    healthy = await world.post(range(100, 190), Priority.LOW)
    await keep_ticking(host, until=3600)
    assert (await world.ingestion(healthy)).status is Status.COMPLETED
    assert (await world.ingestion(poisonous)).failed_count >= 3


# Crashes and storage ----------------------------------------------------------------------------------------------


@in_virtual_time
async def test_a_crash_costs_its_batch_one_lease_and_the_others_about_a_second() -> None:
    """Another process goes on with the next batch, and fetches the crashed one again after its lease."""
    world = World()
    first, second = world.host(Api(seconds=8.0)), world.host(clock=HostClock(base=77.0))
    posted = await world.post(range(30))
    ticking = asyncio.create_task(keep_ticking(first, until=100))
    watching = asyncio.create_task(keep_ticking(second, until=80))
    await asyncio.sleep(7.5)
    await kill(first, ticking)
    await watching
    crashed_at = first.api.fetches[0].at
    assert first.api.first_ids == [0]
    assert second.api.first_ids[:2] == [3, 6]
    assert second.api.fetches[0].at - crashed_at <= 7.1
    again = next(fetch.at for fetch in second.api.fetches if fetch.ids[0] == 0)
    assert LEASE_SECONDS <= again - crashed_at <= LEASE_SECONDS + 6
    assert (await world.ingestion(posted)).status is Status.COMPLETED


@in_virtual_time
async def test_a_batch_of_a_killed_host_that_ends_after_its_lease_is_not_recorded() -> None:
    """The start that came later owns the batch: its token fences the first one's end."""
    world = World()
    zombie, heir = world.host(Api(seconds=9.0)), world.host(clock=HostClock(base=77.0))
    posted = await world.post(range(3))
    ticking = asyncio.create_task(keep_ticking(zombie, until=100))
    zombie.wire.seconds["ingestions put_and_merge"] = 40.0
    await asyncio.sleep(8)
    ticking.cancel()
    await keep_ticking(heir, until=90)
    assert (len(zombie.api.fetches), len(heir.api.fetches)) == (1, 1)
    [record] = await world.stores.ingestions.records(posted, 0, 1)
    assert (record.status, record.attempts) == (Status.COMPLETED, 2)


@in_virtual_time
async def test_a_batch_whose_end_was_never_recorded_in_twenty_starts_fails_with_one_poison_message() -> None:
    """One that kills its host cannot do so for ever, and the lists behind it go on; nineteen starts are not enough."""
    world = World()
    host = world.host()
    posted, other = await world.post(range(3)), await world.post([10])
    for start, one in [*((start, posted) for start in range(20)), *((start, other) for start in range(19))]:
        await world.stores.ingestions.change(
            one, lambda row, start=start: row.batch_started(0, token=f"t{start}", age=0.0, lease=1.0, at=EPOCH)
        )
    await keep_ticking(host, until=30)
    assert host.api.first_ids == [10]
    ingestion = await world.ingestion(posted)
    assert (ingestion.status, ingestion.batch_status(0)) == (Status.FAILED, Status.FAILED)
    assert [json.loads(text)["error"] for text in world.poisoned()] == ["started 20 times without a recorded end"]
    assert world.waiting() == 0


@in_virtual_time
async def test_a_start_that_comes_too_late_is_given_up_and_its_mark_taken_back() -> None:
    """Marking took longer than the start budget, so nothing was sent and nothing is counted."""
    world = World()
    host = world.host()
    posted = await world.post(range(3))

    async def slow() -> None:
        await asyncio.sleep(1.5)

    host.wire.once["ingestions merge"] = slow
    await keep_ticking(host, until=20)
    assert host.wire.calls.count("dispatch insert") == 1
    assert (await world.gate()).slot == 2
    [fetch] = host.api.fetches
    assert fetch.at >= 6 + 1.4
    [record] = await world.stores.ingestions.records(posted, 0, 1)
    assert (record.status, record.attempts) == (Status.COMPLETED, 1)


@in_virtual_time
async def test_a_mark_whose_answer_was_lost_is_recognised_and_the_batch_sent() -> None:
    """The row that is read back has this start's token."""
    world = World()
    host = world.host()
    posted = await world.post(range(3))
    host.wire.losing.add("ingestions merge")
    await keep_ticking(host, until=20)
    assert host.api.first_ids == [0]
    assert (await world.ingestion(posted)).status is Status.COMPLETED


@in_virtual_time
async def test_an_end_that_cannot_be_written_is_tried_until_it_is_and_the_batch_is_not_started_again() -> None:
    """Meanwhile the other batches go on, and people see the trouble on the gate's row."""
    world = World()
    host = world.host()
    posted = await world.post(range(6))
    host.wire.failing.add("ingestions put_and_merge")
    ticking = asyncio.create_task(keep_ticking(host, until=200))
    await asyncio.sleep(100)
    assert host.api.first_ids == [0, 3]
    assert (await world.gate()).trouble == "the ends of 2 batches cannot be written"
    assert (await world.ingestion(posted)).completed_count == 0
    host.wire.failing.clear()
    await world.post([9])
    await ticking
    assert host.api.first_ids == [0, 3, 9]
    assert (await world.ingestion(posted)).status is Status.COMPLETED
    assert (await world.gate()).trouble == ""


@in_virtual_time
async def test_a_batch_whose_end_cannot_be_written_is_not_started_again_after_its_lease() -> None:
    """Its process knows that it is alive, and goes on with the batches behind it."""
    world = World()
    host = world.host()
    await world.post(range(60))
    host.wire.failing.add("ingestions put_and_merge")
    await keep_ticking(host, until=60)
    assert len(host.api.first_ids) == len(set(host.api.first_ids)) > 10


@in_virtual_time
async def test_a_mark_of_which_nobody_knows_whether_it_was_written_is_taken_back() -> None:
    """Neither its answer nor the row arrives, so nothing is sent; later the batch need not wait for its lease."""
    world = World()
    host = world.host()
    await world.post(range(3))

    async def fail() -> None:
        host.wire.losing.add("ingestions merge")
        host.wire.failing.add("ingestions get")

    host.wire.once["ingestions merge"] = fail
    asyncio.get_running_loop().call_later(8, host.wire.losing.clear)
    asyncio.get_running_loop().call_later(8, host.wire.failing.clear)
    await keep_ticking(host, until=20)
    assert host.api.first_ids == [0]


@in_virtual_time
async def test_an_end_whose_answer_was_lost_is_recognised_and_written_once() -> None:
    """The batch's record has this start's token."""
    world = World()
    host = world.host()
    posted = await world.post(range(3))
    host.wire.losing.add("ingestions put_and_merge")
    await keep_ticking(host, until=20)
    assert (await world.ingestion(posted)).status is Status.COMPLETED
    assert host.wire.calls.count("ingestions put_and_merge") == 1


@in_virtual_time
async def test_a_tick_that_finds_no_storage_says_so_and_the_next_one_goes_on() -> None:
    """What runs is not lost by it."""
    world = World()
    host = world.host(Api(seconds=2.0))
    posted = await world.post(range(9))
    host.wire.failing.add("ingest-high peek")
    with pytest.raises(StorageUnavailable):
        await host.dispatcher.tick()
    host.wire.failing.clear()
    await keep_ticking(host, until=true_time() + 40)
    assert (await world.ingestion(posted)).status is Status.COMPLETED


@in_virtual_time
async def test_a_gate_row_that_storage_has_lost_is_made_anew_without_an_early_start() -> None:
    """A missing row counts as taken at that moment, and the marks' ages raise its own."""
    world = World()
    host = world.host()
    await world.post(range(60))
    ticking = asyncio.create_task(keep_ticking(host, until=90))
    await asyncio.sleep(33)
    await MemoryStorage(world.account).dispatch.delete("gate", "gate-2")
    await ticking
    assert min(host.api.gaps) >= 5 * 0.9999
    assert len(host.api.fetches) >= 13


@in_virtual_time
async def test_a_gate_that_is_behind_a_mark_catches_up_before_anything_starts() -> None:
    """Storage has lost the gate's last writes: leases would last too long otherwise."""
    world = World()
    posted = await world.post(range(9))
    await world.stores.gate.create(GateRow(slot=1, token="old", age=1000.0, due=1006.0))
    await world.stores.ingestions.change(
        posted, lambda row: row.batch_started(0, token="lost", age=2000.0, lease=25.0, at=EPOCH)
    )
    host = world.host()
    await keep_ticking(host, until=50)
    assert (await world.gate()).age >= 2000
    again = next(fetch.at for fetch in host.api.fetches if fetch.ids[0] == 0)
    assert 25 <= again <= 45
    assert (await world.ingestion(posted)).status is Status.COMPLETED


# Cancels, pauses, moves -------------------------------------------------------------------------------------------


async def pause(world: World, switch: str, pause_: Pause | None) -> None:
    """Set or clear a switch on the gate's row."""
    await world.stores.gate.set_pause(switch, pause_, gate=GateRow(slot=0, token="none", age=0.0, due=0.0))


@pytest.mark.parametrize("switch", ["LOW", "ALL"])
@in_virtual_time
async def test_a_paused_lane_is_skipped_until_it_is_resumed(switch: str) -> None:
    """One start budget after the pause no batch of it starts any more."""
    world = World()
    host = world.host()
    await world.post(range(60))
    ticking = asyncio.create_task(keep_ticking(host, until=80))
    await asyncio.sleep(20)
    await pause(world, switch, Pause(since=EPOCH))
    await asyncio.sleep(1)
    started = len(host.api.fetches)
    await asyncio.sleep(25)
    assert len(host.api.fetches) == started
    await pause(world, switch, None)
    await ticking
    assert len(host.api.fetches) >= started + 5


@in_virtual_time
async def test_a_pause_that_is_seen_between_the_take_and_the_send_stops_the_batch() -> None:
    """The answer to the take was lost, so the row is read back; the mark is taken back and counts as no attempt."""
    world = World()
    host = world.host()
    posted = await world.post(range(3))

    async def lose() -> None:
        host.wire.losing.add("dispatch merge")
        host.wire.once["dispatch get"] = partial(pause, world, "LOW", Pause(since=EPOCH))

    host.wire.once["dispatch merge"] = lose
    await keep_ticking(host, until=20)
    assert (await world.gate()).slot == 1
    assert host.api.fetches == []
    flight = (await world.ingestion(posted)).flight(0)
    assert flight is None or (flight.running, flight.attempts) == (False, 0)


@in_virtual_time
async def test_a_pause_of_one_lane_lets_the_lanes_below_go_on() -> None:
    """Its lists wait where they are."""
    world = World()
    host = world.host()
    await pause(world, "HIGH", Pause(since=EPOCH))
    await world.post([1], Priority.HIGH)
    await world.post([2], Priority.LOW)
    await keep_ticking(host, until=30)
    assert host.api.first_ids == [2]
    assert world.waiting(Priority.HIGH) == 1


@in_virtual_time
async def test_a_batch_of_a_cancelled_list_that_runs_is_recorded_and_nothing_more_starts() -> None:
    """Its message is swept away, and it is closed."""
    world = World()
    host = world.host(Api(seconds=3.0))
    posted = await world.post(range(9))
    ticking = asyncio.create_task(keep_ticking(host, until=40))
    await asyncio.sleep(7)
    await world.stores.ingestions.change(posted, lambda row: row.cancelled(reason="", at=EPOCH))
    await ticking
    assert host.api.first_ids == [0]
    ingestion = await world.ingestion(posted)
    assert (ingestion.status, ingestion.completed_count) == (Status.CANCELLED, 1)
    assert world.waiting() == 0
    assert len([row async for row in world.stores.history.rows()]) == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda row: row.cancelled(reason="", at=EPOCH).with_end(EPOCH),
        lambda row: row.batch_started(0, token="other", age=0.0, lease=LEASE_SECONDS, at=EPOCH),
    ],
    ids=["cancelled", "started"],
)
@in_virtual_time
async def test_a_batch_that_is_cancelled_or_started_between_the_look_and_the_mark_is_not_started(
    change: Change,
) -> None:
    """The mark asks the present row which batch may start, and is not taken for another process's mark."""
    world = World()
    host = world.host()
    posted = await world.post(range(3))

    async def meanwhile() -> None:
        await world.stores.ingestions.change(posted, change)

    host.wire.once["ingestions merge"] = meanwhile
    await keep_ticking(host, until=20)
    assert "ingestions merge" not in host.wire.once
    assert host.api.fetches == []


@in_virtual_time
async def test_a_cancelled_list_whose_process_is_gone_is_ended_by_the_next_look() -> None:
    """Only the row says that it has ended, so the row is written first."""
    world = World()
    posted = await world.post(range(9))
    await world.stores.ingestions.change(
        posted,
        lambda row: row.batch_started(0, token="gone", age=0.0, lease=5.0, at=EPOCH).cancelled(reason="", at=EPOCH),
    )
    await keep_ticking(world.host(), until=40)
    ingestion = await world.ingestion(posted)
    assert (ingestion.status, ingestion.ended_at is not None) == (Status.CANCELLED, True)
    assert world.waiting() == 0


@pytest.mark.parametrize("lanes", [[Priority.HIGH], [Priority.HIGH, Priority.LOW]])
@in_virtual_time
async def test_a_list_that_moves_between_the_look_and_the_mark_is_not_started_from_its_old_place(
    lanes: list[Priority],
) -> None:
    """The mark checks lane and generation: the list may have moved away and back."""
    world = World()
    host = world.host()
    posted = await world.post(range(3))

    async def move() -> None:
        for lane in lanes:
            await world.stores.ingestions.change(posted, lambda row, lane=lane: row.moved(lane, at=EPOCH))

    host.wire.once["ingestions merge"] = move
    await keep_ticking(host, until=14)
    assert host.api.fetches == []
    await world.stores.lanes.put(lanes[-1], posted, len(lanes))
    await keep_ticking(host, until=true_time() + 15)
    assert host.api.first_ids == [0]
    assert (world.waiting(Priority.HIGH), world.waiting()) == (0, 0)


# Sweeps -----------------------------------------------------------------------------------------------------------


@in_virtual_time
async def test_a_foreign_message_goes_to_poison_with_the_reason_and_blocks_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is copied before it is removed, and the take keeps others out for the time that this needs."""
    world = World()
    host = world.host()
    world.account.put("ingest-low", "not ours")
    await world.post(range(3))
    rows: list[GateRow] = []

    async def note_down() -> None:
        rows.append(await world.gate())

    host.wire.once["ingest-low receive"] = note_down
    await keep_ticking(host, until=20)
    assert host.api.first_ids == [0]
    assert rows[0].due - rows[0].age == pytest.approx(1 + 5 + 5)
    assert world.poisoned() == ["not ours"]
    assert world.waiting() == 0
    assert "reason=it is not a message of this service" in caplog.text


@in_virtual_time
async def test_a_row_that_cannot_be_read_goes_to_poison_with_the_reason(caplog: pytest.LogCaptureFixture) -> None:
    """Its message tells which list it was."""
    world = World()
    host = world.host()
    unreadable = await world.post(range(3))
    await MemoryStorage(world.account).ingestions.merge(
        {"PartitionKey": str(unreadable), "RowKey": str(unreadable), "id_count": "many"}, etag=None
    )
    await world.post(range(10, 13))
    await keep_ticking(host, until=20)
    assert host.api.first_ids == [10]
    assert [json.loads(text)["ingestion_id"] for text in world.poisoned()] == [str(unreadable)]
    assert "id_count" in caplog.text


@in_virtual_time
async def test_messages_are_removed_only_at_the_front() -> None:
    """A message that stands behind one that stays is left alone: receiving would displace the front."""
    world = World()
    host = world.host()
    await world.post(range(9))
    world.account.put("ingest-low", "behind")
    await keep_ticking(host, until=14)
    assert world.waiting() == 2
    assert "ingest-low receive" not in host.wire.calls
    await keep_ticking(host, until=40)
    assert world.waiting() == 0


@in_virtual_time
async def test_a_sweep_stops_when_the_time_is_over_for_which_the_take_keeps_others_out() -> None:
    """However slow storage is, no removal begins after that; the next sweep goes on."""
    world = World()
    host = world.host()
    for number in range(12):
        world.account.put("ingest-low", f"foreign {number}")
    host.wire.seconds["ingest-low receive"] = 3.0
    ticking = asyncio.create_task(host.dispatcher.tick())
    await ticking
    assert 0 < len(world.poisoned()) < 12
    taken = next(i for i, call in enumerate(host.wire.calls) if call == "dispatch merge")
    assert host.wire.calls[taken:].count("ingest-low receive") <= 3
    host.wire.seconds.clear()
    await keep_ticking(host, until=true_time() + 40)
    assert world.waiting() == 0
    assert sorted(world.poisoned()) == sorted(f"foreign {number}" for number in range(12))


@in_virtual_time
async def test_a_message_that_could_not_be_removed_in_time_is_copied_to_poison_once() -> None:
    """The next sweep only removes it."""
    world = World()
    host = world.host()
    world.account.put("ingest-low", "foreign")
    host.wire.seconds["ingest-low put"] = 12.0
    await host.dispatcher.tick()
    assert (world.waiting(), len(world.poisoned())) == (1, 1)
    await keep_ticking(host, until=true_time() + 20)
    assert (world.waiting(), len(world.poisoned())) == (0, 1)


# Stopping ---------------------------------------------------------------------------------------------------------


async def stopped(host: Host, tick: "asyncio.Task[Tick]") -> None:
    """Stop a process in order: the tick is cancelled, then the batches."""
    tick.cancel()
    await asyncio.gather(tick, return_exceptions=True)
    await host.dispatcher.stop()


@in_virtual_time
async def test_a_process_that_stops_takes_the_mark_of_what_it_fetches_back() -> None:
    """The start counts, as something was sent; a restart need not wait for the lease."""
    world = World()
    host = world.host(Api(seconds=9.0))
    posted = await world.post(range(3))
    tick = asyncio.create_task(host.dispatcher.tick())
    await asyncio.sleep(8)
    await stopped(host, tick)
    flight = (await world.ingestion(posted)).flight(0)
    assert flight is not None
    assert (flight.running, flight.attempts, flight.failures) == (False, 1, 0)
    fresh = world.host()
    await keep_ticking(fresh, until=true_time() + 12)
    assert len(fresh.api.fetches) == 1


@pytest.mark.parametrize("call", ["ingestions merge", "dispatch merge"])
@in_virtual_time
async def test_a_process_that_stops_before_it_sends_leaves_no_mark(call: str) -> None:
    """Nothing was sent, so nothing is counted."""
    world = World()
    host = world.host()
    posted = await world.post(range(3))
    host.wire.seconds[call] = 0.3
    tick = asyncio.create_task(host.dispatcher.tick())
    while call not in host.wire.calls:  # the time is virtual
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)
    await stopped(host, tick)
    await asyncio.sleep(1)
    flight = (await world.ingestion(posted)).flight(0)
    assert flight is None or (flight.running, flight.attempts) == (False, 0)
    assert host.api.fetches == []


@in_virtual_time
async def test_a_process_that_stops_while_it_waits_for_the_due_instant_takes_the_mark_back() -> None:
    """The mark was written shortly before the slot."""
    world = World()
    host = world.host()
    posted = await world.post(range(30))
    tick = asyncio.create_task(host.dispatcher.tick())
    while not (await world.ingestion(posted)).in_flight:  # the time is virtual
        await asyncio.sleep(0.001)
    await stopped(host, tick)
    flight = (await world.ingestion(posted)).flight(0)
    assert flight is not None
    assert not flight.running
    assert flight.attempts == len(host.api.fetches)
