"""Tests of the lanes: what is removed from a queue, and what messages say."""

import json
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from ingest_core.models import Priority
from ingest_core.ports import Message
from ingest_core.storage.lanes import Lanes, Ticket, oldest_first, ticket_of
from ingest_core.storage.memory import Account, MemoryStorage

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HIGH = Priority.HIGH


class World:
    """An account whose clock a test sets, and the lanes of one process."""

    def __init__(self) -> None:
        self.now = NOW
        self.account = Account(now=lambda: self.now)
        self.lanes = Lanes(MemoryStorage(self.account).lanes)

    async def put(self, number: int, lane: Priority = HIGH) -> list[UUID]:
        """Queue as many ingestions."""
        ids = [uuid4() for _ in range(number)]
        for ingestion_id in ids:
            await self.lanes.put(lane, ingestion_id)
        return ids

    async def queued(self, lane: Priority = HIGH) -> list[UUID]:
        """The ingestions at the front of a lane."""
        tickets = [ticket_of(message) for message in await self.lanes.peek(lane)]
        return [ticket.ingestion_id for ticket in tickets if ticket]


@pytest.fixture
def world() -> World:
    """An account in memory."""
    return World()


async def test_the_front_message_is_removed_if_it_is_the_expected_one(world: World) -> None:
    """And no other."""
    ids = await world.put(3)
    first = (await world.lanes.peek(HIGH))[0]
    assert await world.lanes.remove(HIGH, first)
    assert await world.queued() == ids[1:]


async def test_a_received_message_that_is_not_the_expected_one_is_visible_at_once(world: World) -> None:
    """It stands for work that is left: out of sight, it would let a later ingestion or a lower lane run first."""
    one, two, three = await world.put(3)
    second = (await world.lanes.peek(HIGH))[1]
    assert not await world.lanes.remove(HIGH, second)
    assert await world.queued() == [two, three, one]


async def test_nothing_is_removed_from_an_empty_lane(world: World) -> None:
    """Somebody else was first."""
    await world.put(1)
    (message,) = await world.lanes.peek(HIGH)
    assert await world.lanes.remove(HIGH, message)
    assert not await world.lanes.remove(HIGH, message)


async def test_a_deletion_that_comes_too_late_removes_nothing(world: World) -> None:
    """The message has become visible again, and somebody else has received it since."""
    await world.put(1)
    (message,) = await world.lanes.peek(HIGH)
    other = MemoryStorage(world.account).lanes[HIGH]

    async def hang(call: str) -> None:
        if call == "queue.delete":
            world.now += timedelta(seconds=4)
            await other.receive()

    late = Lanes(MemoryStorage(world.account, before=hang).lanes)
    assert not await late.remove(HIGH, message)
    world.now += timedelta(seconds=4)
    assert len(await world.lanes.peek(HIGH)) == 1


@pytest.mark.parametrize("which", [0, 1])
async def test_two_processes_that_remove_the_same_messages_lose_no_other(world: World, which: int) -> None:
    """Both have peeked before either received."""
    ids = await world.put(4)
    peeked = await world.lanes.peek(HIGH)
    other = Lanes(MemoryStorage(world.account).lanes)
    removed = [await lanes.remove(HIGH, peeked[which]) for lanes in (world.lanes, other, other)]
    assert sum(removed) <= 1
    assert set(await world.queued()) >= set(ids) - {ids[which]}


async def test_messages_name_their_format_and_generation(world: World) -> None:
    """A later release can tell which release wrote them."""
    ingestion_id = uuid4()
    await world.lanes.put(HIGH, ingestion_id, 3)
    (message,) = await world.lanes.peek(HIGH)
    assert json.loads(message.text) == {"format": 2, "ingestion_id": str(ingestion_id), "generation": 3}
    assert ticket_of(message) == Ticket(ingestion_id=ingestion_id, generation=3)


async def test_the_lanes_and_their_poison_queues_are_apart(world: World) -> None:
    """What is put into one is in no other."""
    for number, lane in enumerate(Priority, 1):
        await world.put(number, lane)
        await world.lanes.put_poison(lane, "reason")
    assert [len(await world.lanes.peek(lane)) for lane in Priority] == [1, 2, 3]
    assert await world.lanes.poison_counts() == dict.fromkeys(Priority, 1)


def test_the_oldest_of_the_peeked_is_served_first_and_ties_keep_their_place() -> None:
    """Azure's queues promise no order; their clock has whole seconds."""
    seconds = [2, 1, 1, 0, 2]
    messages = [
        Message(message_id=str(place), text="", inserted_on=NOW + timedelta(seconds=second))
        for place, second in enumerate(seconds)
    ]
    assert [message.message_id for message in oldest_first(messages)] == ["3", "1", "2", "0", "4"]
