"""Tests of what the service says of itself."""

from datetime import datetime, timedelta

import pytest

from ingest_core.api import handlers as api
from tests.support.callers import INTERVAL, LEASE, Desk

PATIENCE = INTERVAL + LEASE + 60


@pytest.fixture
def desk() -> Desk:
    """A service in memory."""
    return Desk()


async def stalled(desk: Desk) -> bool:
    """Whether it says that nothing moves."""
    return bool((await desk.health()).stalled_reason)


async def test_an_idle_service_is_well(desk: Desk) -> None:
    """Before its first tick and long after its last."""
    assert not await stalled(desk)
    desk.clock.seconds += 10_000
    found = await desk.health()
    assert (found.stalled_reason, found.waiting, found.gate.last_start_at) == (
        "",
        {"HIGH": 0, "MEDIUM": 0, "LOW": 0},
        None,
    )


async def test_what_storage_does_not_permit_is_a_fault(desk: Desk) -> None:
    """Nothing would go on, or nothing would be tidied up; an operator must know which call."""
    desk.storage.denied_calls = ["merge into the table dispatch", "delete rows of the table backlog"]
    answer = await desk.call(api.health)
    assert answer.status == 503
    assert "does not permit what the service needs: merge into the table dispatch; delete rows of" in answer.text


async def test_a_look_costs_four_storage_calls(desk: Desk) -> None:
    """However much waits."""
    for number in range(50):
        await desk.post([number])
    desk.calls.clear()
    assert (await desk.health()).waiting["HIGH"] == 32
    assert sorted(desk.calls) == ["queue.peek", "queue.peek", "queue.peek", "table.get"]


@pytest.mark.parametrize("interval", [5.0, 7.0])
async def test_work_that_waits_and_does_not_start_is_a_fault(interval: float) -> None:
    """Longer than interval, lease and a minute; a queue's clock has whole seconds."""
    desk = Desk(interval=interval)
    desk.clock.seconds += 500
    await desk.post([1], "LOW")
    desk.clock.seconds += interval + LEASE + 60 - 1
    assert not await stalled(desk)
    desk.clock.seconds += 2
    found = await desk.health()
    assert "nothing has started" in found.stalled_reason
    assert found.waiting["LOW"] == 1


async def test_a_restart_with_a_backlog_is_no_fault(desk: Desk) -> None:
    """Waiting counts from the process's own start."""
    await desk.post([1])
    desk.clock.seconds += 86_400
    fresh = Desk(desk.account, desk.clock)
    assert not await stalled(fresh)
    desk.clock.seconds += PATIENCE + 1
    assert await stalled(fresh)


async def test_a_long_backlog_is_no_fault_while_batches_start(desk: Desk) -> None:
    """The oldest message may be a day old."""
    await desk.post(range(1, 1000))
    for _ in range(20):
        await desk.gate()
        desk.clock.seconds += 50
        assert not await stalled(desk)
    desk.clock.seconds += PATIENCE
    assert await stalled(desk)


async def test_a_dispatcher_that_waits_for_a_back_off_is_alive(desk: Desk) -> None:
    """It notes the gate's age meanwhile, without any start."""
    await desk.post([1])
    started_at = desk.clock.now().isoformat()
    for _ in range(20):
        desk.clock.seconds += 50
        await desk.gate(started_at=started_at)
        assert not await stalled(desk)


@pytest.mark.parametrize(
    "text", ["9999-12-31T23:59:59-23:59", "9999-12-31T00:00:00+00:00", "2026-01-01T00:00:00", "0001-01-01", "x", ""]
)
async def test_a_last_start_that_cannot_be_is_left_out(desk: Desk, text: str) -> None:
    """It is for people, and must not spoil what is computed from it."""
    await desk.gate(started_at=text)
    answer = await desk.call(api.lanes)
    assert (answer.status, answer.json["last_start_at"]) == (200, None)


async def test_a_wait_that_the_api_asked_for_is_no_fault(desk: Desk) -> None:
    """Patience begins when it is over."""
    await desk.post([1])
    await desk.gate(age=100.0, due=700.0, throttled_reason="the API answered 429")
    written_at = desk.clock.now()
    desk.clock.seconds += 580
    throttle = (await desk.health()).gate.throttle
    assert throttle
    assert (throttle.until, throttle.reason) == (written_at + timedelta(seconds=600), "the API answered 429")
    assert not await stalled(desk)
    desk.clock.seconds += 21
    assert (await desk.health()).gate.throttle is None
    desk.clock.seconds += PATIENCE - 5
    assert not await stalled(desk)
    desk.clock.seconds += 10
    assert await stalled(desk)


@pytest.mark.parametrize("due", [1 + INTERVAL, 1 + INTERVAL + 5])
async def test_a_gate_that_is_only_taken_is_not_throttled(desk: Desk, due: float) -> None:
    """No take closes it for longer than that, a sweep included."""
    await desk.gate(due=due)
    assert (await desk.health()).gate.throttle is None


@pytest.mark.parametrize("switch", ["HIGH", "ALL"])
async def test_what_waits_in_a_paused_lane_is_no_fault(desk: Desk, switch: str) -> None:
    """A person wants it so; other lanes count as ever."""
    await desk.post([1], "HIGH")
    await desk.service.pause(switch, reason="secret")
    desk.clock.seconds += 10_000
    assert not await stalled(desk)
    answer = await desk.call(api.health)
    assert (answer.status, answer.json["paused_lanes"], answer.json["waiting"]["HIGH"]) == (200, [switch], 1)
    await desk.post([1], "LOW")
    desk.clock.seconds += 10_000
    assert await stalled(desk) is (switch == "HIGH")


async def test_health_says_nothing_that_a_person_or_the_api_has_written(desk: Desk) -> None:
    """It is open to everybody."""
    await desk.post([1], label="secret")
    await desk.service.pause("LOW", reason="secret")
    down_since = desk.clock.now().isoformat()
    await desk.gate(due=600.0, throttled_reason="secret", down_since=down_since)
    answer = await desk.call(api.health, query="anything=goes&anything=")
    assert answer.status == 200
    assert "secret" not in answer.text
    assert answer.json["down_since"] == down_since
    assert datetime.fromisoformat(answer.json["throttled_until"]) > desk.clock.now()


async def test_ends_that_cannot_be_written_are_a_fault_for_as_long_as_they_are_news(desk: Desk) -> None:
    """The process that has written so may be gone, and the text stays inside."""
    await desk.gate(trouble="secret")
    answer = await desk.call(api.health)
    assert (answer.status, answer.json["type"]) == (503, "/problems/not-dispatching")
    assert "ends of batches cannot be written" in answer.text
    assert "secret" not in answer.text
    desk.clock.seconds += PATIENCE + 1
    assert (await desk.call(api.health)).status == 200


async def test_a_service_that_has_stalled_answers_503(desk: Desk) -> None:
    """With what to look at."""
    await desk.post([1])
    desk.clock.seconds += PATIENCE + 2
    answer = await desk.call(api.health)
    assert (answer.status, answer.json["type"]) == (503, "/problems/not-dispatching")


async def test_a_gate_that_cannot_be_read_is_no_fault_of_the_callers(desk: Desk) -> None:
    """The dispatcher makes it anew."""
    await desk.gate()
    (row,) = desk.account.table("dispatch").values()
    row.entity["slot"] = "many"
    assert (await desk.call(api.health)).status == 200
