"""Tests of the live board."""

import json
from datetime import timedelta

import pytest

from ingest_core.board import SHOWN_PER_LANE, page
from ingest_core.errors import SourceUnavailable
from tests.support.fakes import EPOCH, Host


@pytest.fixture
def host() -> Host:
    """A service in memory."""
    return Host()


async def board(host: Host) -> dict:
    """What the page is given."""
    return json.loads(await host.core.context.board())


async def test_an_idle_board_is_empty(host: Host) -> None:
    """Before anything has happened."""
    found = await board(host)
    assert found["lanes"] == {lane: {"waiting": 0, "front": []} for lane in ("HIGH", "MEDIUM", "LOW")}
    assert (found["interval"], found["last_start"], found["paused"], found["stalled"]) == (5, None, None, None)


async def test_the_front_of_each_lane_is_shown_in_order(host: Host) -> None:
    """A few of each, and how many wait."""
    ids = [await host.post([n], "LOW") for n in range(1, 9)]
    high = await host.post([1, 2, 3, 4], "HIGH")
    await host.core.lanes._queues["LOW"].put("foreign")
    await host.tick()
    host.calls.clear()
    lanes = (await board(host))["lanes"]
    assert [one["ingestion_id"] for one in lanes["LOW"]["front"]] == ids[:SHOWN_PER_LANE]
    assert lanes["LOW"]["waiting"] == 9
    assert [(one["ingestion_id"], one["counts"]["completed"]) for one in lanes["HIGH"]["front"]] == [(high, 1)]
    assert host.calls.count("table.get") == 1 + SHOWN_PER_LANE + 1


async def test_an_ingestion_with_two_messages_is_shown_once(host: Host) -> None:
    """A caller who tried again left the second one."""
    one = await host.post([1], key="k")
    await host.post([1], key="k")
    lane = (await board(host))["lanes"]["HIGH"]
    assert len(host.texts("ingest-high")) == 2
    assert (lane["waiting"], [shown["ingestion_id"] for shown in lane["front"]]) == (1, [one])


async def test_a_pause_is_shown_with_its_reason(host: Host) -> None:
    """And the batch that waits for it."""
    host.source.answers[1] = [SourceUnavailable("the API answered 429", retry_after_seconds=60)]
    await host.post([1])
    await host.tick()
    found = await board(host)
    assert found["paused"] == "the API answered 429"
    assert found["paused_until"] == (EPOCH + timedelta(seconds=host.source.starts()[0] + 60)).isoformat()
    assert found["lanes"]["HIGH"]["front"][0]["in_flight"]["error"] == "the API answered 429"


def test_the_page_holds_no_data_and_loads_nothing_from_elsewhere() -> None:
    """So it may be open to everybody, and works offline."""
    assert "http://" not in page()
    assert "https://" not in page()
    assert "innerHTML" not in page()
