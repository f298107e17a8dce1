"""Ticks that outlast their interval, fetches that never return, and a zombie: the host's timer does not keep the limit.

The timer behaves as the Functions host's (a tick that overruns is followed at once by exactly one), the clocks are
right, and time is virtual: no tolerance is needed.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine

import pytest

from ingest_core.models import Priority
from tests.support.cluster import Answer, Cluster
from tests.support.referee import Entry
from tests.support.virtual_time import HostClock, run, true_time
from tests.support.wire import Fault

INTERVAL = 5.0
TIMEOUT = 10.0
LEASE = 20.0


def play(
    scenario: Callable[[Cluster], Coroutine[None, None, None]], *, clocks: tuple[HostClock, ...], **settings: float
) -> Cluster:
    """Run a scenario on hosts with these clocks; afterwards everything must heal and drain."""

    async def whole() -> Cluster:
        cluster = Cluster(**settings)
        for clock in clocks:
            cluster.add_host(clock)
        try:
            await scenario(cluster)
            await cluster.drain()
        finally:
            await cluster.close()
        return cluster

    return run(whole)


async def until_started(cluster: Cluster, count: int) -> None:
    """Wait for so many starts."""
    while len(cluster.referee.starts) < count:
        await asyncio.sleep(0.001)
        cluster.referee.check()
        assert true_time() < 600, f"{len(cluster.referee.starts)} of {count} starts in ten minutes"


def record(cluster: Cluster, entry: Entry, index: int = 0) -> dict:
    """The record of a batch, as it is in the table."""
    return dict(cluster.account.table("ingestions")[entry.ingestion_id, f"batch-{index:08d}"].entity)


def test_a_slow_batch_is_followed_at_once_and_then_at_the_interval() -> None:
    """The host fires when a tick of 7 s ends and again 3 s later: only the first of these is due."""

    async def scenario(cluster: Cluster) -> None:
        cluster.source.script.extend([Answer("ok", 7.0), Answer("ok", 0.1), Answer("ok", 0.1)])
        cluster.post(cluster.hosts[0], 12, Priority.HIGH)
        await until_started(cluster, 4)

    gaps = play(scenario, clocks=(HostClock(),)).referee.gaps()
    assert gaps[0] == pytest.approx(7.0, abs=0.05)
    assert gaps[1:3] == pytest.approx([INTERVAL, INTERVAL], abs=1e-6)
    assert min(gaps) >= INTERVAL


def test_ticks_by_hand_start_nothing_early() -> None:
    """However many there are, and on whichever host."""

    async def scenario(cluster: Cluster) -> None:
        cluster.post(cluster.hosts[0], 30, Priority.LOW)
        for _ in range(400):
            await asyncio.sleep(0.1)
            for host in cluster.hosts:
                host.tick()

    gaps = play(scenario, clocks=(HostClock(), HostClock(base=77.0))).referee.gaps()
    assert min(gaps) >= INTERVAL
    assert gaps[:5] == pytest.approx([INTERVAL] * 5, abs=0.05)


def test_a_fetch_that_never_returns_is_cut_and_costs_an_attempt() -> None:
    """The next attempt has a slot of its own."""
    entries = []

    async def scenario(cluster: Cluster) -> None:
        cluster.source.script.extend([Answer("never")])
        entries.append(cluster.post(cluster.hosts[0], 3, Priority.HIGH))
        await until_started(cluster, 2)

    cluster = play(scenario, clocks=(HostClock(),))
    assert cluster.referee.gaps()[0] == pytest.approx(TIMEOUT, abs=0.05)
    assert record(cluster, entries[0])["status"] == "completed"
    assert record(cluster, entries[0])["attempts"] == 2


def test_a_batch_that_never_answers_fails_and_the_lane_moves_on() -> None:
    """Five attempts, each cut by its timeout, then the next batch."""
    entries = []

    async def scenario(cluster: Cluster) -> None:
        cluster.source.script.extend([Answer("never")] * 5)
        entries.append(cluster.post(cluster.hosts[0], 6, Priority.HIGH))
        await until_started(cluster, 6)

    cluster = play(scenario, clocks=(HostClock(),))
    assert entries[0].ended == ["failed", "completed"]
    assert record(cluster, entries[0])["attempts"] == 5
    assert "10 s" in record(cluster, entries[0])["error"]
    assert len(cluster.account.queue("ingest-high-poison")) == 1


@pytest.mark.parametrize("second_fetch", [0.1, 9.5], ids=["which had ended it", "which had it in flight"])
def test_a_zombies_write_is_refused(second_fetch: float, caplog: pytest.LogCaptureFixture) -> None:
    """It completes after its lease ran out and another host took the batch: nothing is counted twice."""
    caplog.set_level(logging.WARNING)
    entries = []

    async def scenario(cluster: Cluster) -> None:
        dying, other = cluster.hosts
        cluster.source.script.extend([Answer("ok", 0.1), Answer("ok", second_fetch)])
        dying.process.wire.arm(Fault.FROZEN, name="put_and_merge", seconds=LEASE + 5)
        entries.append(cluster.post(other, 3, Priority.HIGH))
        other.skips = lambda: not cluster.referee.starts
        await until_started(cluster, 1)
        dying.turn_into_zombie()
        await until_started(cluster, 2)
        await asyncio.sleep(LEASE)

    cluster = play(scenario, clocks=(HostClock(), HostClock(base=500.0)))
    first, second = cluster.referee.starts[:2]
    assert (first.process, second.process) == ("host0.1", "host1.1")
    assert (first.entry, first.index) == (second.entry, second.index)
    assert second.at - first.at >= LEASE - 1
    assert record(cluster, entries[0])["attempts"] == 2
    assert entries[0].ended == ["completed"]
    assert [line.message for line in caplog.records if "batch.refused" in line.message]


def test_a_starter_that_stood_still_after_its_mark_gives_up() -> None:
    """When it goes on, its lease is over and its successor has just started."""

    async def scenario(cluster: Cluster) -> None:
        slow, other = cluster.hosts
        slow.process.wire.arm(Fault.FROZEN_AFTER, name="mark", seconds=LEASE + 1)
        other.skips = lambda: True
        entry = cluster.post(slow, 9, Priority.HIGH)
        while not entry.marks:  # noqa: ASYNC110 # as above
            await asyncio.sleep(0.001)
        other.be_steady()
        other.tick()  # it counts from here
        await until_started(cluster, 3)

    starts = play(scenario, clocks=(HostClock(), HostClock(base=500.0))).referee.starts
    assert starts[0].process == "host1.1"


def test_a_mark_is_never_written_over_a_younger_one() -> None:
    """A holder that stood still reads the row when its successor has the batch in flight: that batch must end."""
    entries = []

    async def scenario(cluster: Cluster) -> None:
        slow, other = cluster.hosts
        other.skips = lambda: True
        await asyncio.sleep(2)
        cluster.source.script.append(Answer("ok", 3.0))
        entries.append(cluster.post(slow, 3, Priority.HIGH))
        slow.process.wire.arm(Fault.FROZEN, name="get", seconds=LEASE + 1)
        while cluster.account.table("dispatch")["gate", "gate"].entity["hold_seconds"] < LEASE:  # noqa: ASYNC110 # as above
            await asyncio.sleep(0.001)
        other.be_steady()
        other.tick()  # it counts from here
        await until_started(cluster, 1)
        await asyncio.sleep(4)

    cluster = play(scenario, clocks=(HostClock(), HostClock(base=500.0)))
    starts = [start.process for start in cluster.referee.starts if start.entry is entries[0]]
    assert starts == ["host1.1"]
    assert record(cluster, entries[0])["attempts"] == 1


def test_a_pause_that_one_host_was_asked_for_holds_for_all() -> None:
    """The limit belongs to the API: two hosts tick all the time, and nothing starts before `Retry-After`."""

    async def scenario(cluster: Cluster) -> None:
        cluster.source.script.append(Answer("held", 0.1, 30.0))
        cluster.post(cluster.hosts[0], 9, Priority.HIGH)
        for _ in range(400):
            await asyncio.sleep(0.1)
            for host in cluster.hosts:
                host.tick()

    gaps = play(scenario, clocks=(HostClock(), HostClock(base=500.0))).referee.gaps()
    assert gaps[0] == pytest.approx(30.1, abs=0.05)


def test_a_removal_that_could_outlive_the_lease_is_left_to_the_successor() -> None:
    """A received message that is not one's own goes to the back of its lane: no ETag would refuse that."""

    async def scenario(cluster: Cluster) -> None:
        slow, other = cluster.hosts
        cluster.source.script.extend([Answer("ok", 9.9)])
        slow.process.wire.arm(Fault.FROZEN, name="put_and_merge", seconds=8.2)
        slow.process.wire.arm(Fault.STALLED, name="receive", seconds=3.9)
        other.skips = lambda: not cluster.referee.starts
        for size in (3, 6, 3):
            cluster.post(slow, size, Priority.HIGH)
            await asyncio.sleep(0.1)
        await until_started(cluster, 1)
        other.tick()  # it counts from here
        await until_started(cluster, 4)

    play(scenario, clocks=(HostClock(), HostClock(base=500.0)))


def test_a_loop_that_wakes_early_wastes_no_slot_and_starts_nothing_early() -> None:
    """A timer is as exact as the clock's resolution: 16 ms on some systems.

    An interval other than the timer's period makes ticks wait.
    """

    async def scenario(cluster: Cluster) -> None:
        cluster.post(cluster.hosts[0], 60, Priority.HIGH)
        await until_started(cluster, 20)

    gaps = play(scenario, clocks=(HostClock(early=0.016),), interval=7.0).referee.gaps()[:19]
    assert min(gaps) >= 7.0
    assert gaps == pytest.approx([7.0] * 19, abs=0.005)
