"""Tests of recovery: what lost its message gets one, and nothing else does."""

import pytest

from tests.support.fakes import Host


@pytest.fixture
def host() -> Host:
    """A service in memory."""
    return Host()


async def test_a_row_in_an_empty_lane_gets_its_message_back(host: Host) -> None:
    """A host died between row and message, or storage lost the message."""
    one = await host.post([1])
    host.account.queue("ingest-high").clear()
    assert await host.recover() == 1
    await host.ticks(1)
    assert (await host.status(one))["status"] == "completed"
    assert not host.texts("ingest-high")


async def test_a_row_older_than_the_front_gets_its_message_back(host: Host) -> None:
    """It goes behind those that still have theirs."""
    one = await host.post([1])
    host.account.queue("ingest-high").clear()
    host.clock.seconds += 61.5
    await host.post([2])
    assert await host.recover() == 1
    assert await host.recover() == 0
    await host.ticks(2)
    assert host.source.ids() == [2, 1]
    assert (await host.status(one))["status"] == "completed"


@pytest.mark.parametrize(("older_by", "restored"), [(59, 0), (60, 0), (61, 1)])
async def test_a_row_is_taken_for_lost_when_it_is_a_minute_older_than_the_front(
    host: Host, older_by: float, restored: int
) -> None:
    """The row shows a host's clock and the message the queue service's: they may differ by as much."""
    await host.post([1])
    host.account.queue("ingest-high").clear()
    host.clock.seconds += older_by
    await host.post([2])
    assert await host.recover() == restored


async def test_an_ingestion_accepted_between_the_two_reads_is_left_alone(host: Host) -> None:
    """The rows are read before the fronts: else its row would be seen, and its message not."""
    caller = Host(host.account, host.clock)
    await caller.post([1], "LOW")
    reads: list[str] = []

    async def accept_between(call: str) -> None:
        reads.append(call)
        if len(set(reads)) == 2 and len(set(reads[:-1])) == 1:
            await caller.post([2])

    for store in (host.core.storage.ingestions, *host.core.storage.lanes.values()):
        object.__setattr__(store, "before", accept_between)
    assert await host.recover() == 0
    assert set(reads) == {"table.query", "queue.peek"}
    assert len(host.texts("ingest-high")) == 1


async def test_what_has_its_message_is_left_alone(host: Host) -> None:
    """Waiting, running or finished."""
    await host.post([1, 2, 3, 4])
    await host.post([5])
    await host.post([6], "LOW")
    await host.tick()
    host.clock.seconds += 1000
    assert await host.recover() == 0
    await host.ticks(4)
    assert await host.recover() == 0
    assert not any(host.account.queues.values())


async def test_a_restored_message_behind_many_others_is_not_restored_again(host: Host) -> None:
    """The row notes when it was queued."""
    await host.post([1])
    host.account.queue("ingest-high").clear()
    host.clock.seconds += 100
    for item_id in range(2, 50):
        await host.post([item_id])
    assert [await host.recover() for _ in range(3)] == [1, 0, 0]


async def test_a_running_ingestion_that_lost_its_message_goes_on(host: Host) -> None:
    """The note that recovery makes does not take the batch from its owner."""
    one = await host.post([1, 2, 3, 4])

    async def lose_and_recover(item_id: int) -> None:
        if item_id == 1:
            host.account.queue("ingest-high").clear()
            await host.recover()

    host.source.on_fetch = lose_and_recover
    await host.ticks(2)
    assert host.source.ids() == [1, 2, 3, 4]
    assert (await host.status(one))["status"] == "completed"
