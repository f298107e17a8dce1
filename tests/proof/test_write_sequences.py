"""Lost answers, late writes and lost rows that broke an earlier version of the protocol, in virtual time."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from ingest_core.models import Priority
from ingest_core.storage.gate_row import GateRow
from tests.support.cluster import Cluster
from tests.support.machines import Answer
from tests.support.scenarios import LEASE, play, starts_of
from tests.support.virtual_time import HostClock, true_time
from tests.support.wire import Fault

# Fences ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [Fault.ANSWER_LOST, Fault.LATE])
def test_an_end_whose_answer_is_lost_is_recognised_although_the_row_has_changed_since(
    fault: Fault, caplog: pytest.LogCaptureFixture
) -> None:
    """The batch row carries the token."""

    async def scenario(cluster: Cluster) -> None:
        host = cluster.add_host()
        cluster.usual = lambda _: Answer("ok", 8.0)
        entry = await cluster.post(30)
        await cluster.until_started(1)
        host.process.wire.arm(fault, name="ingestions.put_and_merge", seconds=1.0)
        await cluster.settle(within=600)
        assert all(len(starts_of(cluster, entry, index)) == 1 for index in range(10))
        await cluster.drain()

    play(scenario)
    assert "batch.mark_lost" not in caplog.text


def test_a_failure_whose_answer_is_lost_is_recognised(caplog: pytest.LogCaptureFixture) -> None:
    """The row that is read back says that the batch waits for another attempt."""

    async def scenario(cluster: Cluster) -> None:
        host = cluster.add_host()
        cluster.script.append(Answer("failed", 2.0))
        entry = await cluster.post(3)
        await cluster.until_started(1)
        host.process.wire.arm(Fault.ANSWER_LOST, name="ingestions.merge")
        await cluster.settle(within=60)
        assert len(starts_of(cluster, entry)) == 2
        await cluster.drain()

    play(scenario)
    assert "batch.attempt_failed" in caplog.text
    assert "batch.mark_lost" not in caplog.text


@pytest.mark.parametrize("kind", ["ok", "failed", "throttled"])
def test_the_outcome_of_a_start_that_was_given_up_is_refused(kind: str) -> None:
    """A host stands still for longer than the lease, and another one starts its batch again."""

    async def scenario(cluster: Cluster) -> None:
        first = cluster.add_host(HostClock())
        cluster.script.append(Answer(kind, 8.0))
        cluster.usual = lambda _: Answer("ok", 9.5)
        entry = await cluster.post(3)
        await cluster.until_started(1)
        first.clock.freeze(LEASE + 8)
        cluster.add_host(HostClock())
        await cluster.until_started(2)
        await asyncio.sleep(first.clock.frozen_until + 0.5 - true_time())
        assert entry.present is not None
        assert [flight.running for flight in entry.present.in_flight] == [True]
        await cluster.settle(within=200)
        assert len(starts_of(cluster, entry)) == 2
        await cluster.drain()

    play(scenario)


def test_sixteen_batches_of_one_ingestion_end_in_the_same_millisecond() -> None:
    """Their changes are written one after another."""

    async def scenario(cluster: Cluster) -> None:
        cluster.add_host()
        ends_at = 9.0
        cluster.usual = lambda _: Answer("ok", max(0.1, ends_at - true_time()))
        entry = await cluster.post(48)
        await cluster.settle(within=60)
        assert all(len(starts_of(cluster, entry, index)) == 1 for index in range(16))
        await cluster.drain()

    play(scenario, interval=0.2)


@pytest.mark.parametrize("seconds", [0.9, 1.1, 3.0, 8.0, 12.0, 14.9])
@pytest.mark.parametrize("call", ["dispatch.merge", "ingestions.merge"])
def test_a_starter_that_stands_still_gives_up(call: str, seconds: float) -> None:
    """Another host starts meanwhile; the mark is taken back, so that the batch need not wait for the lease."""

    async def scenario(cluster: Cluster) -> None:
        cluster.usual = lambda _: Answer("ok", 8.0)  # whoever starts the batch meanwhile still runs it
        hosts = [cluster.add_host(HostClock()) for _ in range(2)]
        entry = await cluster.post(60)
        await cluster.until_started(2)
        starter = next(host for host in hosts if host.process is cluster.referee.starts[-1].process)
        starter.process.wire.arm(Fault.FROZEN_AFTER, name=call, seconds=seconds)
        await cluster.settle(within=200)
        assert entry.has_ended
        await cluster.drain()

    play(scenario)


TABLES = ("ingestions", "dispatch", "backlog", "history")


@pytest.mark.parametrize("is_killed", [False, True])
@pytest.mark.parametrize(
    ("tables", "queues"),
    [(("dispatch",), False), (("ingestions",), False), (TABLES, False), ((), True), (TABLES, True)],
    ids=["gate", "ingestions", "tables", "queues", "everything"],
)
def test_storage_loses_its_last_seconds(tables: Sequence[str], *, queues: bool, is_killed: bool) -> None:
    """Slots repeat, marks are ahead of the gate or gone, messages are back or gone: nothing is early or lost."""

    async def scenario(cluster: Cluster) -> None:
        host = cluster.add_host()
        cluster.usual = lambda _: Answer("ok", 8.0)
        await cluster.post(3)
        long = await cluster.post(30)
        await asyncio.sleep(20)
        copy = cluster.copy()
        if not tables:
            await cluster.post(3)  # its row survives
        await asyncio.sleep(5.2)
        if is_killed:
            host.kill()
        cluster.roll_back(copy, tables=tables, queues=queues)
        host.boot()
        await cluster.settle(within=900)
        assert all(starts_of(cluster, long, index) for index in range(10))
        await cluster.drain()

    play(scenario)


# The gate's row -------------------------------------------------------------------------------------------------------


def test_two_hosts_find_a_gate_that_cannot_be_read() -> None:
    """Both make it anew at once; one is faster, and neither fails or starts early."""

    async def scenario(cluster: Cluster) -> None:
        for _ in range(2):
            cluster.add_host(HostClock()).process.wire.latency = 0.5  # both have read it before one replaces it
        await cluster.post(60)
        rows = cluster.account.table("dispatch")
        await cluster.stores.gate.set_pause("LOW", None, gate=GateRow(slot=1, token="x", age=1.0, due=1.0))
        for key, stored in list(rows.items()):
            rows[key] = replace(stored, entity={**stored.entity, "token": ""}, etag="edited")
        await asyncio.sleep(30)
        for host in cluster.hosts:
            host.process.wire.latency = 0.001
        await cluster.settle(within=300)
        await cluster.drain()

    play(scenario)


def test_a_gate_that_another_host_has_taken_is_not_taken_for_one_that_lost_its_writes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Its mark is ahead of what this host has seen of the gate."""

    async def scenario(cluster: Cluster) -> None:
        cluster.usual = lambda _: Answer("ok", 8.0)
        for _ in range(3):
            cluster.add_host(HostClock()).process.wire.latency = 0.02
        for lane in Priority:
            await cluster.post(60, lane)
        await cluster.settle(within=600)
        await cluster.drain()

    play(scenario)
    assert "gate.behind" not in caplog.text
