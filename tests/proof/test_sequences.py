"""Sequences that broke an earlier version of the protocol, each by its own name, in virtual time."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from uuid import UUID, uuid4

import pytest

from ingest_core.dispatch.slots import (
    LONGEST_LEAD_SECONDS,
    START_BUDGET_SECONDS,
    SWEEP_CALLS_SECONDS,
    due_after_take,
)
from ingest_core.models import Priority, Status
from ingest_core.ports import CALL_SECONDS
from ingest_core.storage.gate_row import GateRow
from tests.support.cluster import Cluster
from tests.support.machines import Answer, Host
from tests.support.referee import Entry
from tests.support.virtual_time import HostClock, run, true_time
from tests.support.wire import Fault

LEASE = 25.0
"""Of a source timeout of ten seconds, as in every cluster here unless it says otherwise."""

OK = Answer("ok", 0.1)
FAILED = Answer("failed", 0.1)


def play(scenario: Callable[[Cluster], Awaitable[None]], *, interval: float = 5.0) -> None:
    """Run a scenario, and hold it against the referee."""

    async def main() -> None:
        cluster = Cluster(interval=interval)
        try:
            await scenario(cluster)
            cluster.referee.check()
        finally:
            await cluster.close()

    run(main)


def poisonous(*entries: Entry) -> Callable[[Sequence[int]], Answer]:
    """The API fails these lists, always, and nothing else."""
    ids = {item_id for entry in entries for item_id in entry.ids}
    return lambda asked: FAILED if asked[0] in ids else OK


def starts_of(cluster: Cluster, entry: Entry, index: int = 0) -> list[float]:
    """When a batch was started."""
    return [start.at for start in cluster.referee.starts if (start.entry, start.index) == (entry, index)]


async def restart_every(seconds: float, host: Host) -> None:
    """A host that lives for so long, and is back at once."""
    while True:
        await asyncio.sleep(seconds)
        host.kill()
        host.boot()


# Outages and poisonous batches ---------------------------------------------------------------------------------------


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


# Throttling ----------------------------------------------------------------------------------------------------------


def test_a_retry_after_arrives_between_another_batchs_take_and_its_send() -> None:
    """Nothing is sent although the gate is taken, and a later `Retry-After: 1` does not shorten the wait."""

    async def scenario(cluster: Cluster) -> None:
        cluster.add_host(HostClock())
        host = cluster.hosts[0]
        await cluster.post(60)
        wire = host.process.wire
        first = Answer("held", 5.15, 30.0)
        cluster.script.extend((first, Answer("held", 0.2, 1.0), Answer("held", 0.2, 1.0)))
        wire.latency = 0.05  # the second batch's mark is under way when the answer comes
        await asyncio.sleep(120)
        starts = [start.at for start in cluster.referee.starts]
        answered = starts[0] + first.seconds
        held = [at for at in starts if answered < at < answered + 30]
        assert not held or held[0] - answered < 0.3
        assert len(starts) > 10

    play(scenario)


@pytest.mark.parametrize("apart", [0.0, 0.001, 0.002, 0.003, 0.005])
def test_two_throttles_at_once_keep_the_longer_one(apart: float) -> None:
    """The second answer arrives while the first one's wait is being written; the host dies after that."""

    async def scenario(cluster: Cluster) -> None:
        first, second = cluster.add_host(HostClock()), cluster.add_host(HostClock())
        second.kill()
        await cluster.post(60)
        cluster.script.extend((Answer("held", 6.0, 1.0), Answer("held", 1.0 + apart, 60.0)))
        await cluster.until_started(2)
        answered = cluster.referee.starts[1].at + 1.0 + apart
        await asyncio.sleep(answered + 1.0 - true_time())
        assert len(cluster.referee.starts) == 2
        first.kill()
        second.boot()
        await cluster.until_started(3)
        assert cluster.referee.starts[2].at >= answered + 59

    play(scenario)


# Crashes -------------------------------------------------------------------------------------------------------------


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


def test_the_timer_ticks_on_for_half_a_minute_and_then_everything_is_cut_off() -> None:
    """As after SIGTERM, while the successor ticks too."""

    async def scenario(cluster: Cluster) -> None:
        cluster.usual = lambda _: Answer("ok", 8.0)
        old, _ = cluster.add_host(), cluster.add_host()
        await cluster.post(90)
        await asyncio.sleep(30)
        old.kill()
        await cluster.settle(within=600)
        await cluster.drain()

    play(scenario)


# Fences --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [Fault.ANSWER_LOST, Fault.LATE])
def test_an_end_whose_answer_is_lost_is_recognised_although_the_row_has_changed_since(fault: Fault) -> None:
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


def test_the_end_of_a_start_that_was_given_up_is_refused() -> None:
    """A host stands still for longer than the lease, and another one starts its batch again."""

    async def scenario(cluster: Cluster) -> None:
        first = cluster.add_host(HostClock())
        cluster.usual = lambda _: Answer("ok", 8.0)
        entry = await cluster.post(3)
        await cluster.until_started(1)
        first.clock.freeze(LEASE + 8)
        cluster.add_host(HostClock())
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
        hosts = [cluster.add_host(HostClock()) for _ in range(2)]
        entry = await cluster.post(60)
        await cluster.until_started(2)
        starter = next(host for host in hosts if host.process is cluster.referee.starts[-1].process)
        starter.process.wire.arm(Fault.FROZEN_AFTER, name=call, seconds=seconds)
        await cluster.settle(within=200)
        assert entry.has_ended
        await cluster.drain()

    play(scenario)


def test_storage_loses_its_last_seconds() -> None:
    """Slots repeat, marks are ahead of the gate or gone, and messages are back: nothing starts early or is lost."""

    async def scenario(cluster: Cluster) -> None:
        host = cluster.add_host()
        cluster.usual = lambda _: Answer("ok", 8.0)
        await cluster.post(30)
        await asyncio.sleep(20)
        before = dict(cluster.account.table("dispatch"))
        await asyncio.sleep(5.2)
        host.kill()
        cluster.account.tables["dispatch"] = before
        host.boot()
        await cluster.settle(within=600)
        await cluster.drain()

    play(scenario)


# Lanes ---------------------------------------------------------------------------------------------------------------


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


@pytest.mark.parametrize(("latency", "seconds"), [(0.01, 5.5), (0.1, 60.0)])
def test_ninety_six_front_ingestions_are_read_in_a_slot(latency: float, seconds: float) -> None:
    """All of HIGH and MEDIUM waits. With a storage of 20 ms a call no slot is lost; at 200 ms every lane goes on."""

    async def scenario(cluster: Cluster) -> None:
        host = cluster.add_host(HostClock())
        stuck = [await cluster.post(3, lane) for lane in (Priority.HIGH, Priority.MEDIUM) for _ in range(32)]
        low = await cluster.post(30, Priority.LOW)
        for entry in stuck:
            await cluster.stores.ingestions.change(
                entry.ingestion_id,
                lambda row: row.batch_started(0, token="a", age=0, lease=9, at=row.created_at).attempt_failed(
                    0, "a", error="x", counts=True, not_before=5_000
                ),
            )
        host.process.wire.latency = latency
        await asyncio.sleep(20)
        begun = len(cluster.referee.starts)
        await asyncio.sleep(10 * seconds)
        assert len(cluster.referee.starts) - begun >= 9 or low.has_ended

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


# The gate's row ------------------------------------------------------------------------------------------------------


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
