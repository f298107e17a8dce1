"""What is not ours goes to its lane's poison queue, word for word, and never blocks the lane or changes its order."""

import json
import logging
from uuid import uuid4

import pytest

from ingest_core.models import Priority
from tests.support.world import World, wrong

TEXTS = {
    "not_json": "hello",
    "blank": " ",
    "list": "[]",
    "number": "17",
    "huge_number": "9" * 5000,
    "string": '"2f1c7b0e"',
    "null": "null",
    "other_shape": '{"ids": [1, 2, 3]}',
    "no_ingestion": '{"format": 1}',
    "ingestion_is_a_number": '{"format": 1, "ingestion_id": 5}',
    "ingestion_is_no_uuid": '{"format": 1, "ingestion_id": "5"}',
    "ingestion_is_a_lone_surrogate": '{"format": 1, "ingestion_id": "\\ud800"}',
    "unknown_ingestion": json.dumps({"format": 1, "ingestion_id": str(uuid4())}),
    "base64": "eyJmb3JtYXQiOiAxLCAiaW5nZXN0aW9uX2lkIjogIjUifQ==",
    "base64_noise": "n0/+Zk1x8Q==\n77+9AAECAw",
    "deeply_nested": "[" * 20_000,
    "special_in_xml": """<a b="1">&amp; ]]> <![CDATA[ ' </a>""",
    "white_space": "\ttab, line\nand more  ",
    "delete_and_next_line": "\x7f\x85\u2028",
    "emoji": "👩‍🚀 \U0001f9ff é e\u0301",
    "largest": "x" * 65_536,
}


def moved(caplog: pytest.LogCaptureFixture) -> int:
    """How many log lines tell of a foreign message; each is one line."""
    lines = [record.getMessage() for record in caplog.records if "message.foreign" in record.getMessage()]
    assert all("\n" not in line for line in lines)
    return len(lines)


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
async def test_a_foreign_message_is_moved_word_for_word(
    world: World, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    """In front of an ingestion and behind it, whatever it says: the next batch runs in its slot all the same."""
    host = world.host(create=True)
    await host.put(text)
    await host.post([1, 2, 3, 4])
    await host.put(text)
    await host.post([11])
    [seen, *_] = await host.storage.lanes[Priority.HIGH].peek()
    outcomes = [await host.tick() for _ in range(3)]
    assert outcomes == ["started", "started", "started"]
    await world.drain(host)
    assert await world.backend.poisoned(host.storage, Priority.HIGH) == [seen.text, seen.text]
    assert seen.text == text
    assert moved(caplog) == 2
    assert await wrong(world, host, poison=[text]) == []


@pytest.mark.parametrize("number", ["2", "0", "null", '"1"'])
async def test_a_message_of_another_format_is_foreign(world: World, number: str) -> None:
    """Also where it names an ingestion that there is: what else it says is not known."""
    host = world.host(create=True)
    await host.post([1, 2, 3, 4])
    [own] = await host.storage.lanes[Priority.HIGH].peek()
    text = own.text.replace('"format": 1', f'"format": {number}')
    assert text != own.text
    await host.put(text)
    await world.drain(host)
    assert await world.backend.poisoned(host.storage, Priority.HIGH) == [text]
    assert await wrong(world, host, poison=[text]) == []


@pytest.mark.parametrize("lane", Priority)
async def test_forty_foreign_messages_in_a_row_do_not_block_a_lane(
    world: World, caplog: pytest.LogCaptureFixture, lane: Priority
) -> None:
    """More than a peek shows lie in front; the ingestions behind run in order, in their slots."""
    host = world.host(create=True)
    texts = [f"foreign {number}" for number in range(40)]
    await host.post([101, 102, 103, 104], lane)
    for text in texts:
        await host.put(text, lane)
    for first in (201, 301):
        await host.post([first], lane)
    await world.drain(host)
    assert moved(caplog) == 40
    assert await wrong(world, host, poison=["foreign "]) == []
    found = await host.storage.lanes[lane]._poison.get_queue_properties()
    assert found.approximate_message_count == 40
    assert [one["id"] for one in world.ledger.events("fetched")] == [101, 102, 103, 104, 201, 301]


async def test_foreign_messages_let_no_lower_lane_run_first(world: World) -> None:
    """A lane whose front is foreign is not an empty lane."""
    host = world.host(create=True)
    await host.post([201], "LOW")
    for number in range(40):
        await host.put(f"foreign {number}")
    await host.post([101])
    await world.drain(host)
    assert [one["id"] for one in world.ledger.events("fetched")] == [101, 201]
    assert await wrong(world, host, poison=["foreign "]) == []


async def test_a_lane_of_nothing_but_foreign_messages_is_emptied(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """They are swept without an ingestion behind them, and the lanes below run in their slots."""
    caplog.set_level(logging.INFO)
    host = world.host(create=True)
    for number in range(3):
        await host.put(f"foreign {number}", "MEDIUM")
    await host.post([201], "LOW")
    assert await host.tick() == "started"
    await world.drain(host)
    assert moved(caplog) == 3
    assert await wrong(world, host, poison=["foreign "]) == []
