"""Cancels, changes of priority and pauses while hosts dispatch, in virtual time."""

import asyncio
from datetime import timedelta
from functools import partial
from itertools import pairwise

import pytest

from ingest_core.dispatch.slots import START_BUDGET_SECONDS
from ingest_core.dispatch.upkeep import Upkeep
from ingest_core.errors import SourceUnavailable
from ingest_core.models import Priority, Status
from ingest_core.service.service import Service
from ingest_core.storage.gate_row import EVERYTHING
from tests.support.dispatching import Api, Host, World, in_virtual_time, keep_ticking, kill, service_on
from tests.support.virtual_time import HostClock, true_time

HIGH, _, LOW = Priority


def service_of(world: World) -> Service:
    """A service in a process that does not dispatch."""
    return service_on(world.host())


def upkeep_on(host: Host) -> Upkeep:
    """The upkeep of a host's process."""
    return Upkeep(host.stores, gate_age=host.dispatcher.gate_age, clock=host.clock, retention_days=0)


# Pause ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("switch", [LOW, EVERYTHING])
@pytest.mark.parametrize(
    ("call", "is_lost"), [("dispatch get", True), ("dispatch merge", False), ("ingestions merge", False)]
)
@in_virtual_time
async def test_a_pause_that_comes_between_any_two_calls_of_a_start(
    switch: str, call: str, is_lost: bool
) -> None:  # a case
    """Before the take, while its answer is lost, or before the mark: none starts once the pause has answered."""
    world = World()
    hosts = [world.host(clock=HostClock(base=base)) for base in (100.0, 9000.0)]
    await world.post(range(300))
    ticking = [asyncio.create_task(keep_ticking(host, until=120)) for host in hosts]
    await asyncio.sleep(22)
    starter = max(hosts, key=lambda host: len(host.api.fetches))
    began: list[float] = []

    async def pause() -> None:
        starter.wire.losing.discard("dispatch merge")
        began.append(true_time())
        pausing.append(asyncio.create_task(service_of(world).pause(switch)))
        await asyncio.sleep(0.1)

    pausing: list[asyncio.Task] = []
    if is_lost:
        starter.wire.losing.add("dispatch merge")
    starter.wire.once[call] = pause
    while not pausing:
        await asyncio.sleep(0.1)
    await pausing[0]
    assert true_time() - began[0] < START_BUDGET_SECONDS + 0.2
    started = [len(host.api.fetches) for host in hosts]
    await asyncio.sleep(30)
    assert [len(host.api.fetches) for host in hosts] == started
    await service_of(world).resume(switch)
    await asyncio.gather(*ticking)
    starts = sorted(fetch.at for host in hosts for fetch in host.api.fetches)
    assert len(starts) > sum(started) + 5
    assert min(after - before for before, after in pairwise(starts)) >= 4.995


@in_virtual_time
async def test_a_pause_survives_restarts_and_ends_by_itself() -> None:
    """It stands in the gate's row, and each host's clock judges its end."""
    world = World()
    await world.post(range(9))
    until = world.account.now() + timedelta(seconds=60)
    await service_of(world).pause(LOW, until=until)
    for _ in range(3):
        host = world.host()
        ticking = asyncio.create_task(keep_ticking(host, until=true_time() + 60))
        await asyncio.sleep(15)
        assert host.api.fetches == []
        await kill(host, ticking)
    host = world.host()
    await keep_ticking(host, until=true_time() + 40)
    assert host.api.first_ids == [0, 3, 6]
    assert host.api.fetches[0].at >= 60


# Cancel --------------------------------------------------------------------------------------------------------------


async def throttle(world: World, host: Host) -> None:
    """The API asks the host to wait for an hour."""
    answers = [SourceUnavailable("the API answered 429", retry_after_seconds=3600)]
    usual = host.api.answer
    host.api.answer = lambda item_id: answers.pop() if answers else usual(item_id)
    await world.post([901], HIGH)


async def pause(world: World, _: Host, *, switch: str) -> None:
    """A person pauses the lane, or everything."""
    await service_of(world).pause(switch)


SCENES = [throttle, partial(pause, switch=LOW), partial(pause, switch=EVERYTHING)]


@pytest.mark.parametrize("scene", SCENES)
@in_virtual_time
async def test_a_cancel_ends_while_nothing_may_start(scene: partial) -> None:
    """The batch that runs is recorded by its own process, and its results can be read."""
    world = World()
    host = world.host(Api(seconds=8.0))
    one = await world.post(range(30))
    ticking = asyncio.create_task(keep_ticking(host, until=60))
    await asyncio.sleep(7)
    host.api.seconds = 0.1
    await scene(world, host)
    await asyncio.sleep(1)
    cancelled = await service_of(world).cancel(one)
    assert (cancelled.ingestion.status, len(cancelled.ingestion.in_flight)) == (Status.TRIGGERED, 1)
    await ticking
    found = await world.ingestion(one)
    assert (found.status, found.completed_count, found.cancelled_count) == (Status.CANCELLED, 1, 9)
    results = await service_of(world).all_results(one, cursor=0)
    assert ([item.item_id for item in results.items], results.is_complete) == ([0, 1, 2], True)


@pytest.mark.parametrize("scene", SCENES)
@in_virtual_time
async def test_a_cancel_of_a_list_whose_process_is_gone_ends_while_nothing_may_start(scene: partial) -> None:
    """No look comes to it, so upkeep writes its end once the lease is over."""
    world = World()
    dying, host = world.host(Api(seconds=9.0)), world.host(clock=HostClock(base=5.0))
    one = await world.post(range(30))
    ticking = asyncio.create_task(keep_ticking(dying, until=60))
    await asyncio.sleep(7)
    await kill(dying, ticking)
    await scene(world, host)
    await service_of(world).cancel(one)
    ticking = asyncio.create_task(keep_ticking(host, until=true_time() + 100))
    await asyncio.sleep(60)
    await upkeep_on(host).run()
    found = await world.ingestion(one)
    assert (found.status, found.ended_at is not None) == (Status.CANCELLED, True)
    assert [row async for row in world.stores.history.rows()]
    await ticking


@in_virtual_time
async def test_thirty_two_cancelled_lists_at_the_front_hide_nothing() -> None:
    """Nobody has removed their messages yet; the list behind them starts in the next slot all the same."""
    world = World()
    cancelled = [await world.post([number]) for number in range(32)]
    await world.post([900])
    service = service_of(world)
    for one in cancelled:
        await service.cancel(one)
    assert world.waiting() == 33
    host = world.host()
    await keep_ticking(host, until=14)
    assert host.api.first_ids == [900]
    await keep_ticking(host, until=400)
    assert world.waiting() == 0


# Priority ------------------------------------------------------------------------------------------------------------


@in_virtual_time
async def test_a_batch_that_runs_ends_although_its_list_has_moved() -> None:
    """Its mark is as good as before; the next batch starts from the new lane's place."""
    world = World()
    host = world.host(Api(seconds=7.0), max_in_flight=1)
    one = await world.post(range(6), HIGH)
    await world.post([900], LOW)
    ticking = asyncio.create_task(keep_ticking(host, until=60))
    await asyncio.sleep(8)
    assert host.api.first_ids == [0]
    await service_of(world).change_priority(one, LOW)
    await ticking
    assert host.api.first_ids == [0, 900, 3]
    found = await world.ingestion(one)
    assert (found.status, found.completed_count) == (Status.COMPLETED, 2)
    assert (world.waiting(HIGH), world.waiting(LOW)) == (0, 0)


# Ended events --------------------------------------------------------------------------------------------------------


@in_virtual_time
async def test_nothing_waits_for_a_missing_queue_of_ended_events_and_nothing_is_lost() -> None:
    """Lists start and end in time, sweeps and upkeep go on, and each event is sent when the queue is back."""
    world = World(ended_queue="ended")
    host = world.host()
    host.wire.failing.add("ended put_event")
    posted = [await world.post([number]) for number in range(8)]
    for one in posted[5:]:
        await world.stores.ingestions.change(
            one, lambda row: row.batch_started(0, token="gone", age=0.0, lease=5.0, at=row.created_at)
        )
        await service_of(world).cancel(one)
    while true_time() < 70:
        await host.dispatcher.tick()  # none fails
        await asyncio.sleep(1)
    assert host.api.first_ids == [0, 1, 2, 3, 4]
    assert max(host.api.gaps) < 5.1
    assert world.waiting() == 0
    lost = await world.post([900])
    world.account.queue("ingest-low").clear()
    report = await upkeep_on(host).run()
    assert (report.closed, report.restored) == (0, 1)
    assert host.wire.calls.count("ended put_event") == 8 + 1
    await keep_ticking(host, until=true_time() + 20)
    assert world.account.texts("ended") == []
    host.wire.failing.clear()
    await upkeep_on(host).run()
    assert len(world.account.texts("ended")) == 9
    assert {row.ingestion_id async for row in world.stores.history.rows()} == {*posted, lost}  # type: ignore[union-attr] # all can be read
    assert await world.stores.backlog.everything() == []
