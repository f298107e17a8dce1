"""Messages, fronts and backlog rows that broke an earlier version of the protocol, in virtual time."""

import asyncio
from uuid import UUID, uuid4

import pytest

from ingest_core.dispatch.slots import (
    LONGEST_LEAD_SECONDS,
    START_BUDGET_SECONDS,
    SWEEP_CALLS_SECONDS,
    due_after_take,
)
from ingest_core.models import Ingestion, Priority, Status
from ingest_core.ports import CALL_SECONDS
from tests.support.cluster import Cluster
from tests.support.machines import Answer
from tests.support.referee import Entry
from tests.support.scenarios import LEASE, play, poisonous, starts_of
from tests.support.virtual_time import HostClock, true_time
from tests.support.wire import Fault


def test_a_front_full_of_ended_messages_hides_nothing() -> None:
    """A list waits for another attempt at the front of HIGH, and 60 small lists behind it end."""

    async def scenario(cluster: Cluster) -> None:
        cluster.add_host()
        waiting = await cluster.post(3)
        small = [await cluster.post(3) for _ in range(60)]
        low = await cluster.post(3, Priority.LOW)
        cluster.usual = poisonous(waiting)
        await asyncio.sleep(60 * 5 + 60)
        assert all(entry.has_ended for entry in small)
        assert low.has_ended
        await cluster.drain()

    play(scenario)


async def wait_for_hours(cluster: Cluster, entry: Entry) -> None:
    """The first batch of a list has failed, and waits for another attempt longer than the scenario lasts."""

    def waits(row: Ingestion) -> Ingestion | None:
        started = row.batch_started(0, token="a", age=0, lease=9, at=row.created_at)
        return started.attempt_failed(0, "a", error="x", counts=True, not_before=5_000)

    await cluster.stores.ingestions.change(entry.ingestion_id, waits)


@pytest.mark.parametrize(("latency", "gap"), [(0.01, 5.001), (0.1, 9.0)])
def test_ninety_six_front_ingestions_are_read_in_a_slot(latency: float, gap: float) -> None:
    """All of them wait, in three full lanes. At 20 ms a call no slot is lost; at 200 ms every lane goes on."""

    async def scenario(cluster: Cluster) -> None:
        host = cluster.add_host(HostClock())
        for lane in Priority:
            for _ in range(32):
                await wait_for_hours(cluster, await cluster.post(3, lane))
        behind = [await cluster.post(12, lane) for lane in Priority]
        host.process.wire.latency = latency
        await cluster.until_started(12)
        assert [start.entry for start in cluster.referee.starts] == [entry for entry in behind for _ in range(4)]
        assert max(cluster.referee.gaps()) < gap

    play(scenario)


@pytest.mark.parametrize("others", [5, 60])
def test_a_lists_message_is_lost_while_an_older_list_waits_for_hours(others: int) -> None:
    """The older list keeps its place at the front; upkeep finds the lost one, and it runs."""

    async def scenario(cluster: Cluster) -> None:
        cluster.add_host()
        await wait_for_hours(cluster, await cluster.post(3))
        await asyncio.sleep(120)
        lost = await cluster.post(300)
        await cluster.until_started(1)
        queue = cluster.account.queue("ingest-high")
        queue[:] = [one for one in queue if str(lost.ingestion_id) not in one.message.text]
        lost.position = None
        await asyncio.sleep(120)
        for _ in range(others):
            await cluster.post(3)
        await cluster.settle(within=10)
        await asyncio.sleep(1300)
        assert lost.has_ended

    play(scenario)


def test_two_batches_of_one_process_end_at_once_and_a_receive_is_slow() -> None:
    """Messages are removed by one sweep at a time, within what the take keeps free."""

    async def scenario(cluster: Cluster) -> None:
        first, second = cluster.add_host(), cluster.add_host()
        cluster.usual = lambda _: Answer("ok", 4.0)
        for _ in range(8):
            await cluster.post(3)
        for host in (first, second):
            host.process.wire.arm(Fault.STALLED, name="HIGH.receive", seconds=3.9)
        await cluster.settle(within=300)
        await cluster.drain()

    play(scenario)


def test_a_list_ends_before_its_backlog_row_is_written() -> None:
    """It is closed again, silently."""

    async def scenario(cluster: Cluster) -> None:
        host = cluster.add_host(HostClock())
        other = cluster.add_host(HostClock())
        other.process.wire.arm(Fault.STALLED, name="backlog.insert", seconds=3.9)
        entry = await cluster.post(3, to=other)
        assert host.process.ticks
        assert entry.has_ended
        assert await cluster.stores.backlog.everything()
        await cluster.drain()

    play(scenario, interval=0.2)


@pytest.mark.parametrize("text", ["", "x", "[]", '{"format": 3}', "null", '{"format": 2, "ingestion_id": "x"}'])
def test_foreign_messages_block_nobody(text: str) -> None:
    """They are moved to the poison queue word for word, and let no lower lane run first."""

    async def scenario(cluster: Cluster) -> None:
        cluster.add_host()
        for _ in range(40):
            cluster.account.put("ingest-high", text)
        low = await cluster.post(3, Priority.LOW)
        high = await cluster.post(3, Priority.HIGH)
        await cluster.settle(within=200)
        assert starts_of(cluster, high)[0] < starts_of(cluster, low)[0]
        await cluster.drain()
        assert cluster.account.texts("ingest-high-poison").count(text) >= 40

    play(scenario)


def test_a_message_of_an_ingestion_that_does_not_exist_is_moved_to_poison() -> None:
    """Its row was lost."""

    async def scenario(cluster: Cluster) -> None:
        cluster.add_host()
        lost: UUID = uuid4()
        await cluster.stores.lanes.put(Priority.HIGH, lost)
        await cluster.post(3)
        await cluster.settle(within=60)
        await cluster.drain()
        assert any(str(lost) in text for text in cluster.account.texts("ingest-high-poison"))

    play(scenario)


def test_a_cancelled_list_whose_process_is_gone_ends() -> None:
    """Only its row says so, once the lease of what ran is over."""

    async def scenario(cluster: Cluster) -> None:
        host = cluster.add_host()
        cluster.usual = lambda _: Answer("ok", 9.0)
        entry = await cluster.post(30)
        await cluster.until_started(1)
        host.kill()
        await cluster.cancel(entry)
        assert not entry.has_ended
        host.boot()
        await cluster.settle(within=2 * LEASE)
        assert entry.present is not None
        assert entry.present.status is Status.CANCELLED
        await cluster.drain()

    play(scenario)


def test_the_last_removal_of_a_sweep_is_over_when_a_successor_looks() -> None:
    """It may take as long as a call can; a look at the old front would lead to the removal of an open list."""
    last_begins_at = START_BUDGET_SECONDS + 5.0 + SWEEP_CALLS_SECONDS
    assert last_begins_at + CALL_SECONDS <= due_after_take(0.0, interval=5.0, sweeps=True) - LONGEST_LEAD_SECONDS


@pytest.mark.parametrize("low", [0, 60])
def test_a_resumed_lane_starts_in_the_next_slot(low: int) -> None:
    """The owner of the gate sees the resume at its next look, whether it has used the slots for a lower lane or not."""

    async def scenario(cluster: Cluster) -> None:
        cluster.add_host(HostClock())
        entry = await cluster.post(30)
        if low:
            await cluster.post(low, Priority.LOW)
        await cluster.until_started(2)
        await cluster.pause(Priority.HIGH, 31.7)
        resumed_at = true_time()
        await cluster.until_started(len(cluster.referee.starts) + 1)
        assert cluster.referee.starts[-1].entry is entry
        assert cluster.referee.starts[-1].at < resumed_at + 5.1

    play(scenario)
