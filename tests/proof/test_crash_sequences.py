"""Crashes and restarts that broke an earlier version of the protocol, in virtual time."""

import asyncio
from collections.abc import Sequence

import pytest

from ingest_core.models import Priority
from tests.support.cluster import Cluster, settings_with
from tests.support.machines import Answer, Host
from tests.support.scenarios import LEASE, OK, play, starts_of
from tests.support.virtual_time import HostClock, true_time
from tests.support.wire import Fault


async def restart_every(seconds: float, host: Host) -> None:
    """A host that lives for so long, and is back at once."""
    while True:
        await asyncio.sleep(seconds)
        host.kill()
        host.boot()


def test_a_crashed_batch_starts_again_although_every_process_lives_for_ten_seconds() -> None:
    """A lease is 25 s, and the batch is the only work: whoever waits for an age writes it down."""

    async def scenario(cluster: Cluster) -> None:
        host = cluster.add_host()
        entry = await cluster.post(3)
        await cluster.until_started(1)
        host.kill()
        host.boot()
        cluster.keep(restart_every(10, host))
        await cluster.settle(within=600)
        first, second = starts_of(cluster, entry)
        assert LEASE <= second - first < 3 * LEASE

    play(scenario)


@pytest.mark.parametrize("fetch", [0.1, 8.0])
def test_a_live_host_goes_on_a_second_after_anothers_crash(fetch: float) -> None:
    """The crashed batch waits for its lease, the others do not."""

    async def scenario(cluster: Cluster) -> None:
        cluster.usual = lambda _: Answer("ok", fetch)
        for _ in range(2):
            cluster.add_host(HostClock())
        await cluster.post(30)
        await cluster.until_started(3)
        crashed = cluster.referee.starts[-1]
        next(host for host in cluster.hosts if host.process is crashed.process).kill()
        await cluster.settle(within=600)
        following = cluster.referee.starts[3]
        assert following.at - crashed.at < 5.0 + 1.5
        assert starts_of(cluster, crashed.entry, crashed.index)[1] - crashed.at < LEASE + 12
        await cluster.drain()

    play(scenario)


def test_a_killed_hosts_worker_starts_nothing_more_and_its_batch_ends() -> None:
    """Only the worker's host is gone; its successor takes over."""

    async def scenario(cluster: Cluster) -> None:
        host = cluster.add_host(HostClock())
        cluster.usual = lambda _: Answer("ok", 9.0)
        entry = await cluster.post(60)
        await cluster.until_started(2)
        worker = host.process
        host.turn_into_zombie()
        gone_at = true_time()
        await asyncio.sleep(0.5)
        host.boot()
        await cluster.settle(within=600)
        assert all(start.at < gone_at + 1 for start in cluster.referee.starts if start.process is worker)
        assert all(len(starts_of(cluster, entry, index)) == 1 for index in range(20))

    play(scenario)


def test_three_hosts_that_tick_all_the_time_start_each_batch_once() -> None:
    """The timer's lock is in each host's own memory, and people run ticks by hand."""

    async def scenario(cluster: Cluster) -> None:
        cluster.usual = lambda _: Answer("ok", 8.0)
        for _ in range(3):
            cluster.add_host()
        entries = [await cluster.post(30, lane) for lane in Priority]

        async def tick_by_hand() -> None:
            while True:
                host = cluster.random.choice(cluster.hosts)
                host.process.spawn(host.process.tick())
                await asyncio.sleep(0.3)

        cluster.keep(tick_by_hand())
        await cluster.settle(within=600)
        assert all(len(starts_of(cluster, entry, index)) == 1 for entry in entries for index in range(10))
        await cluster.drain()

    play(scenario)


@pytest.mark.parametrize("cut_at", [27.5, 29.7, 29.99, 30.001, 30.004, 31.0])
def test_the_timer_ticks_on_for_half_a_minute_and_then_everything_is_cut_off(cut_at: float) -> None:
    """As after SIGTERM, in the middle of a tick, while the successor ticks too: what was cut off is started again."""

    async def scenario(cluster: Cluster) -> None:
        cluster.usual = lambda _: Answer("ok", 8.0)
        old = cluster.add_host(HostClock())
        entry = await cluster.post(90)
        await asyncio.sleep(2)
        cluster.add_host(HostClock())
        await asyncio.sleep(cut_at - true_time())
        ran = [
            start.index for start in cluster.referee.starts if start.process is old.process and start.at > cut_at - 8
        ]
        old.kill()
        await cluster.settle(within=600)
        assert [index for index in range(30) if len(starts_of(cluster, entry, index)) > 1] == ran
        await cluster.drain()

    play(scenario)


@pytest.mark.parametrize("is_killed", [False, True])
def test_a_rolling_change_of_the_source_timeout_leaves_a_long_batch_its_own_lease(*, is_killed: bool) -> None:
    """From 300 s to 10 s, while a batch of 200 s runs: its mark says how long its process is taken to be alive."""

    async def scenario(cluster: Cluster) -> None:
        cluster.settings = settings_with(INGEST_SOURCE_TIMEOUT_SECONDS=300)
        old = cluster.add_host()
        cluster.script.append(Answer("ok", 200.0))
        entry = await cluster.post(3)
        await cluster.until_started(1)
        cluster.settings = settings_with(INGEST_SOURCE_TIMEOUT_SECONDS=10)
        cluster.add_host()
        following = await cluster.post(9)
        if is_killed:
            old.kill()
        else:
            old.turn_into_zombie()
        await asyncio.sleep(60)
        assert following.has_ended
        await cluster.settle(within=600)
        first, *again = starts_of(cluster, entry)
        assert [315 <= at - first < 340 for at in again] == [True] * is_killed
        await cluster.drain()

    play(scenario)


def test_a_list_whose_batches_kill_their_host_holds_thirty_two_marks_at_most() -> None:
    """Restarts are quicker than leases, so each leaves an abandoned mark more."""

    async def scenario(cluster: Cluster) -> None:
        cluster.settings = settings_with(INGEST_INTERVAL_SECONDS=0.2, INGEST_SOURCE_TIMEOUT_SECONDS=60)
        host = cluster.add_host()
        entry, marks = await cluster.post(3 * 60), [0]

        def answer(asked: Sequence[int]) -> Answer:
            if asked[0] in entry.ids and entry.present:
                marks.append(len(entry.present.in_flight))
                asyncio.get_running_loop().call_later(0.01, host.kill)
                asyncio.get_running_loop().call_later(0.1, host.boot)
            return OK

        cluster.usual = answer
        await asyncio.sleep(60)
        assert max(marks) == 32
        healthy = await cluster.post(3)
        await asyncio.sleep(10)
        assert healthy.has_ended

    play(scenario, interval=0.2)


@pytest.mark.parametrize("fault", [None, Fault.DIES_BEFORE, Fault.DIES_AFTER, Fault.ANSWER_LOST, Fault.LATE])
@pytest.mark.parametrize("call", ["ingestions.insert", "HIGH.put", "backlog.insert"])
def test_two_callers_with_one_key_at_once_have_one_list(call: str, fault: Fault | None) -> None:
    """On two hosts, one of which fails or dies: there is one backlog row, and each batch runs once."""

    async def scenario(cluster: Cluster) -> None:
        first, second = cluster.add_host(HostClock()), cluster.add_host(HostClock())
        if fault:
            first.process.wire.arm(fault, name=call, seconds=0.5)
        entry = cluster.expect(12, Priority.HIGH)
        await asyncio.gather(cluster.repeat(entry, to=first), cluster.repeat(entry, to=second))
        assert len(cluster.account.table("backlog")) == 1
        await cluster.settle(within=900)
        starts = [starts_of(cluster, entry, index) for index in range(4)]
        assert sum(map(len, starts)) <= 4 + first.process.wire.dead
        await cluster.drain()

    play(scenario)
