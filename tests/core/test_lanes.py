"""Tests of the lanes: what is removed from a queue, and what messages say."""

import json

import pytest

from ingest_core.errors import AttemptFailed
from ingest_core.models import Priority
from tests.support.fakes import Host


@pytest.fixture
def host() -> Host:
    """A service in memory."""
    return Host()


async def test_the_front_message_is_removed_if_it_is_the_expected_one(host: Host) -> None:
    """And no other."""
    await host.post([1])
    await host.post([2])
    lanes = host.core.lanes
    first, second = await lanes.peek(Priority.HIGH)
    await lanes.remove_front(Priority.HIGH, first)
    assert await lanes.peek(Priority.HIGH) == [second]


async def test_a_received_message_that_is_not_the_expected_one_is_visible_at_once(host: Host) -> None:
    """It stands for work that is left: out of sight, it would let a later ingestion or a lower lane run first."""
    await host.post([1])
    await host.post([2])
    lanes = host.core.lanes
    first, second = await lanes.peek(Priority.HIGH)
    await lanes.remove_front(Priority.HIGH, second)
    assert await lanes.peek(Priority.HIGH) == [second, first]


async def test_all_that_is_written_names_its_format(host: Host) -> None:
    """Rows, messages and poison messages: a later release can tell which release wrote them."""
    host.source.answers[1] = [AttemptFailed("boom")] * 5
    one = await host.post([1, 2, 3, 4])
    assert [json.loads(text) for text in host.texts("ingest-high")] == [{"format": 1, "ingestion_id": one}]
    await host.ticks(6)
    formats = {key[1]: stored.entity["format"] for key, stored in host.account.table("ingestions").items()}
    assert formats == {one: 1, "batch-00000000": 1, "batch-00000001": 1}
    assert [json.loads(text)["format"] for text in host.texts("ingest-high-poison")] == [1]
