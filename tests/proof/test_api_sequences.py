"""Sequences of the API's answers that broke an earlier version of the protocol, in virtual time."""

import asyncio
from collections.abc import Sequence

import pytest

from ingest_core.models import Priority
from tests.support.cluster import Cluster
from tests.support.machines import Answer
from tests.support.scenarios import FAILED, OK, play, poisonous, starts_of
from tests.support.virtual_time import HostClock, true_time

# Outages and poisonous batches ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("batches", [1, 2])
def test_one_or_two_poisonous_batches_fail_although_they_are_the_only_work(batches: int) -> None:
    """Five attempts each; the API is not taken to be down."""

    async def scenario(cluster: Cluster) -> None:
        cluster.add_host()
        entry = await cluster.post(3 * batches)
        cluster.usual = poisonous(entry)
        await cluster.settle(within=1200)
        assert set(entry.ended.values()) == {"failed"}
        assert [len(starts_of(cluster, entry, index)) for index in range(batches)] == [5] * batches

    play(scenario)


def test_seventeen_poisonous_batches_at_the_front_let_a_healthy_list_a_minute_through() -> None:
    """Each healthy list waits for minutes at most, and the poisonous ones fail in the end."""

    async def scenario(cluster: Cluster) -> None:
        cluster.add_host()
        bad = await cluster.post(17 * 3)
        cluster.usual = poisonous(bad)
        waits = []
        while not bad.has_ended and true_time() < 6 * 3600:
            healthy, posted_at = await cluster.post(3), true_time()
            await asyncio.sleep(60)
            if not healthy.has_ended:
                await asyncio.sleep(90)
            assert healthy.has_ended, f"a healthy list waits since {posted_at}"
            waits.append(starts_of(cluster, healthy)[0] - posted_at)
        assert set(bad.ended.values()) == {"failed"}
        assert max(waits) < 150

    play(scenario)


def test_the_same_poisonous_batch_is_not_probed_for_ever() -> None:
    """While the API is taken to be down, every batch is tried before one is tried again."""

    async def scenario(cluster: Cluster) -> None:
        cluster.add_host()
        bad = [await cluster.post(3) for _ in range(6)]
        good = await cluster.post(3)
        cluster.usual = poisonous(*bad)
        await asyncio.sleep(600)
        assert good.has_ended
        assert all(starts_of(cluster, entry) for entry in bad)

    play(scenario)


def test_an_outage_of_the_api_fails_nothing() -> None:
    """Two hours without an answer cost patience, and then everything completes."""

    async def scenario(cluster: Cluster) -> None:
        cluster.add_host()
        cluster.usual = lambda _: FAILED if true_time() < 7200 else OK
        entries = [await cluster.post(9, lane) for lane in Priority]
        await cluster.settle(within=9000)
        assert {status for entry in entries for status in entry.ended.values()} == {"completed"}
        await cluster.drain()

    play(scenario)


def test_a_batch_that_kills_its_host_fails_in_the_end() -> None:
    """Its list goes on with the others, and holds a bounded number of marks."""

    async def scenario(cluster: Cluster) -> None:
        host = cluster.add_host()
        entry = await cluster.post(9)

        def answer(asked: Sequence[int]) -> Answer:
            if asked[0] == entry.ids[0]:
                asyncio.get_running_loop().call_later(0.05, host.kill)
                asyncio.get_running_loop().call_later(1.0, host.boot)
            return OK

        cluster.usual = answer
        await cluster.settle(within=3 * 3600)
        assert entry.ended == {0: "failed", 1: "completed", 2: "completed"}
        assert len(starts_of(cluster, entry)) == 20

    play(scenario)


# Throttling -----------------------------------------------------------------------------------------------------------


def test_a_retry_after_arrives_between_another_batchs_take_and_its_send() -> None:
    """Nothing is sent although the gate is taken, and a later `Retry-After: 1` does not shorten the wait."""
    caught = []

    async def scenario(cluster: Cluster, seconds: float) -> None:
        cluster.add_host(HostClock()).process.wire.latency = 0.02
        entry = await cluster.post(60)
        cluster.script.extend((Answer("throttled", seconds, 30.0), Answer("throttled", 6.5, 1.0)))
        await cluster.until_started(2)
        answered = cluster.referee.starts[0].at + seconds
        await asyncio.sleep(answered - true_time())
        third = entry.present.flight(2) if entry.present else None
        caught.append(third is not None and third.running and not starts_of(cluster, entry, 2))
        await asyncio.sleep(60)
        assert not [start for start in cluster.referee.starts if answered < start.at < answered + 29.9]
        assert len(cluster.referee.starts) > 4

    for seconds in (9.8, 9.85, 9.9, 9.95, 9.99):
        play(lambda cluster, seconds=seconds: scenario(cluster, seconds))
    assert any(caught)


@pytest.mark.parametrize("apart", [0.0, 0.001, 0.002, 0.003, 0.005])
def test_two_throttles_at_once_keep_the_longer_one(apart: float) -> None:
    """The second answer arrives while the first one's wait is being written; the host dies after that."""

    async def scenario(cluster: Cluster) -> None:
        first, second = cluster.add_host(HostClock()), cluster.add_host(HostClock())
        second.kill()
        await cluster.post(60)
        cluster.script.extend((Answer("throttled", 6.0, 1.0), Answer("throttled", 1.0 + apart, 60.0)))
        await cluster.until_started(2)
        answered = cluster.referee.starts[1].at + 1.0 + apart
        await asyncio.sleep(answered + 1.0 - true_time())
        assert len(cluster.referee.starts) == 2
        first.kill()
        second.boot()
        await cluster.until_started(3)
        assert cluster.referee.starts[2].at >= answered + 59

    play(scenario)
