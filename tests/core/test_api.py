"""Tests of the answers: their JSON shapes, their headers, and what each call costs in storage calls."""

import re
from datetime import timedelta
from uuid import UUID

import pytest

from devtools.azurite import ROOT
from ingest_core.api import handlers as api
from ingest_core.api.handlers import Handler
from ingest_core.models import Status
from tests.support.callers import Desk


@pytest.fixture
def desk() -> Desk:
    """A service in memory."""
    return Desk()


COUNTS = {
    "ids": 4, "errors": 0, "batches": 2, "yet_to_start": 2, "triggered": 0, "completed": 0, "failed": 0, "cancelled": 0,
}  # fmt: skip


async def test_an_accepted_list_says_where_to_look_and_when() -> None:
    """The interval in whole seconds, rounded up."""
    desk = Desk(interval=4.2)
    answer = await desk.call(api.ingest, "POST", body={"ids": [1, 2, 3, 4], "priority": "HIGH", "label": "July"})
    assert (answer.status, list(answer.json)) == (202, ["ingestion_id"])
    assert answer.headers["Location"] == f"/status/{answer.json['ingestion_id']}"
    assert answer.headers["Retry-After"] == "5"


async def test_the_summary_has_everything_but_the_batches(desk: Desk) -> None:
    """Times are instants; what is not known is null."""
    desk.clock.seconds += 0.999
    one = await desk.post([1, 2, 3, 4], label="July")
    now = desk.clock.now().isoformat()
    later = (desk.clock.now() + timedelta(seconds=5)).isoformat()
    assert (await desk.call(api.ingestion, ingestion_id=one)).json == {
        "ingestion_id": str(one), "label": "July", "status": "yet_to_start", "priority": "HIGH", "created_at": now,
        "retry_of": None, "queued_at": now, "ended_at": None, "cancel_requested_at": None, "cancel_reason": None,
        "retries": 0, "retried_by": None, "counts": COUNTS, "in_flight": [],
        "forecast": {"ingestions_ahead": 0, "batches_ahead": 0, "starts_at": now, "ends_at": later},
    }  # fmt: skip


async def test_a_batch_in_flight_is_shown(desk: Desk) -> None:
    """Running, or waiting for another attempt; if no batch is left to start, the forecast is the latest start."""
    one = await desk.post([1, 2, 3, 4])
    await desk.start(one, 0)
    await desk.start(one, 1)
    await desk.wait(one, 0)
    waits, runs = (await desk.call(api.ingestion, ingestion_id=one)).json["in_flight"]
    status = (await desk.call(api.status, ingestion_id=one)).json
    assert [waits["batch_id"], runs["batch_id"]] == [batch["batch_id"] for batch in status["batches"]]
    assert waits == {
        "batch_id": waits["batch_id"], "running": False, "attempts": 1, "failures": 1,
        "triggered_at": desk.clock.now().isoformat(), "error": "boom",
    }  # fmt: skip
    assert (runs["running"], runs["error"]) == (True, None)
    other = await desk.post([5])
    await desk.start(other, 0)
    started_at = desk.clock.now()
    desk.clock.seconds += 2
    forecast = (await desk.call(api.ingestion, ingestion_id=other)).json["forecast"]
    assert forecast["starts_at"] == forecast["ends_at"] == started_at.isoformat()


async def test_a_status_is_the_summary_with_batches_and_without_a_forecast(desk: Desk) -> None:
    """A forecast would cost more than the one read."""
    one = await desk.post([1, 2, 3, 4])
    await desk.service.cancel(one)
    summary, status = [(await desk.call(handler, ingestion_id=one)).json for handler in (api.ingestion, api.status)]
    assert [batch["status"] for batch in status.pop("batches")] == ["cancelled", "cancelled"]
    assert summary.pop("forecast") is None
    assert status == summary


async def test_a_cancel_is_202_while_a_batch_runs_and_200_when_it_has_ended(desk: Desk) -> None:
    """A repeat gives the same."""
    one = await desk.post([1, 2, 3, 4])
    await desk.start(one, 0)
    for reason in ("sent twice", "again"):
        answer = await desk.call(api.cancel, "POST", ingestion_id=one, body={"reason": reason})
        assert (answer.status, answer.json["status"], answer.json["cancel_reason"]) == (202, "triggered", "sent twice")
        assert answer.json["cancel_requested_at"] == desk.clock.now().isoformat()
        assert "Retry-After" in answer.headers
    await desk.end(one, 0)
    answer = await desk.call(api.cancel, "POST", ingestion_id=one)
    assert (answer.status, answer.json["status"], answer.json["counts"]["cancelled"]) == (200, "cancelled", 1)
    assert "Retry-After" not in answer.headers


async def test_a_change_of_priority_answers_with_the_summary(desk: Desk) -> None:
    """With the forecast in the new lane."""
    one = await desk.post([1, 2, 3, 4])
    await desk.post([5, 6, 7, 8])
    answer = await desk.call(api.ingestion, "PATCH", ingestion_id=one, body={"priority": "LOW"})
    assert (answer.status, answer.json["priority"], answer.json["forecast"]["batches_ahead"]) == (200, "LOW", 2)


async def test_a_retry_names_both_ingestions(desk: Desk) -> None:
    """The new one, and the first of its chain."""
    one = await desk.post([1])
    await desk.run(one, status=Status.FAILED)
    for body in (None, b" ", {}):
        answer = await desk.call(api.retry, "POST", ingestion_id=one, body=body)
        assert (answer.status, answer.json["retry_of"]) == (202, str(one))
        assert answer.headers["Location"] == f"/status/{answer.json['ingestion_id']}"


@pytest.mark.parametrize("handler", [api.ingestion, api.status])
async def test_an_ingestion_and_its_retries_link_to_each_other(desk: Desk, handler: Handler) -> None:
    """The first of the chain names the last retry, and every retry names the first."""
    one = await desk.post([1])
    for number in (1, 2):
        last = (await desk.call(api.ingestion, ingestion_id=one)).json["retried_by"] or one
        await desk.run(UUID(str(last)), status=Status.FAILED)
        retry = (await desk.call(api.retry, "POST", ingestion_id=last)).json["ingestion_id"]
        first, second = [(await desk.call(handler, ingestion_id=each)).json for each in (one, retry)]
        assert (first["retry_of"], first["retries"], first["retried_by"]) == (None, number, retry)
        assert (second["retry_of"], second["retries"], second["retried_by"]) == (str(one), 0, None)


# Polling -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("handler", [api.ingestion, api.status])
async def test_an_unchanged_answer_is_304(desk: Desk, handler: Handler) -> None:
    """As long as nothing has changed, also from another process, and with a tag that was made weak on its way."""
    await desk.gate(due=100_000.0, throttled_reason="the API answered 429")
    one = await desk.post([1, 2, 3, 4])
    first = await desk.call(handler, ingestion_id=one)
    tag = first.headers["ETag"]
    desk.clock.seconds += 3
    other = Desk(desk.account, desk.clock)
    for given in (tag, f"W/{tag}", f'"x", {tag}', "*"):
        answer = await other.call(handler, ingestion_id=one, headers={"if-none-match": given})
        assert (answer.status, answer.text, answer.headers["ETag"]) == (304, "", tag)
        assert answer.headers["Retry-After"]
    await desk.start(one, 0)
    changed = await desk.call(handler, ingestion_id=one, headers={"if-none-match": tag})
    assert (changed.status, changed.json["status"]) == (200, "triggered")
    assert changed.headers["ETag"] != tag
    assert (await desk.call(handler, ingestion_id=one, headers={"if-none-match": '"x"'})).status == 200


async def test_a_status_that_has_not_changed_is_read_without_its_ids(desk: Desk) -> None:
    """3.5 MB need not be read in order to say that they are the same."""
    one = await desk.post(range(1, 1000))
    tag = (await desk.call(api.status, ingestion_id=one)).headers["ETag"]
    read: list[bool] = []
    get = desk.storage.ingestions.get

    async def note(partition_key: str, row_key: str, *, select: tuple[str, ...] = ()) -> object:
        read.append(bool(select))
        return await get(partition_key, row_key, select=select)

    object.__setattr__(desk.storage.ingestions, "get", note)
    await desk.call(api.status, ingestion_id=one, headers={"if-none-match": tag})
    assert read == [True]


@pytest.mark.parametrize(("ahead", "seconds"), [(0, "5"), (1, "5"), (2, "10"), (4, "20"), (1000, "60")])
async def test_a_poll_is_worth_while_when_the_next_batch_starts(desk: Desk, ahead: int, seconds: str) -> None:
    """At least the interval, at most a minute."""
    if ahead:
        await desk.post(range(ahead * 3))
    one = await desk.post([1])
    assert (await desk.call(api.ingestion, ingestion_id=one)).headers["Retry-After"] == seconds


@pytest.mark.parametrize(("interval", "seconds"), [(0.2, "1"), (4.2, "5"), (3600, "60")])
async def test_while_a_batch_is_in_flight_something_changes_within_the_interval(interval: float, seconds: str) -> None:
    """In whole seconds, rounded up, from one to sixty."""
    desk = Desk(interval=interval)
    one = await desk.post([1])
    await desk.start(one, 0)
    for handler in (api.ingestion, api.status):
        assert (await desk.call(handler, ingestion_id=one)).headers["Retry-After"] == seconds
    await desk.end(one, 0)
    for handler in (api.ingestion, api.status):
        assert "Retry-After" not in (await desk.call(handler, ingestion_id=one)).headers


async def test_nobody_knows_how_long_a_paused_list_waits(desk: Desk) -> None:
    """So a minute it is."""
    one = await desk.post([1])
    await desk.service.pause("HIGH")
    answer = await desk.call(api.ingestion, ingestion_id=one)
    assert (answer.json["forecast"], answer.headers["Retry-After"]) == (None, "60")


@pytest.mark.parametrize(
    "handler",
    [api.status, api.batches, api.results, api.ingestion, api.ingestions, api.lanes, api.metrics, api.health],
)
async def test_a_cache_must_ask_again_for_whatever_may_change(desk: Desk, handler: Handler) -> None:
    """Without this header, some keep an answer for as long as they like."""
    answer = await desk.call(handler, ingestion_id=await desk.post([1]))
    assert (answer.status, answer.headers["Cache-Control"]) == (200, "no-cache")


# Lists ---------------------------------------------------------------------------------------------------------------


async def test_a_list_shows_open_and_closed_ingestions_alike(desk: Desk) -> None:
    """Counts included; only open ones have a forecast."""
    await desk.run(await desk.post([1, 2, 3, 4], label="July"))
    await desk.service.cancel(await desk.post([1, 2, 3, 4], "LOW"))
    await desk.post([1, 2, 3, 4])
    opened, cancelled, completed = (await desk.call(api.ingestions)).json["ingestions"]
    assert list(opened) == list(cancelled) == list(completed)
    assert opened["counts"] == COUNTS
    assert completed["counts"] == {**COUNTS, "yet_to_start": 0, "completed": 2}
    assert cancelled["counts"] == {**COUNTS, "yet_to_start": 0, "cancelled": 2}
    assert (completed["label"], completed["ended_at"], cancelled["status"]) == (
        "July", desk.clock.now().isoformat().replace(".003", ".001"), "cancelled",
    )  # fmt: skip
    assert (opened["forecast"]["batches_ahead"], completed["forecast"], opened["ended_at"]) == (0, None, None)


async def test_a_cursor_leads_to_the_next_page_with_the_same_filters(desk: Desk) -> None:
    """And is refused with others; the order of names in a filter does not matter."""
    posted = [await desk.post([1], "LOW") for _ in range(3)]
    first = await desk.call(api.ingestions, query="priority=LOW,HIGH&limit=2")
    cursor = first.json["next_cursor"]
    assert first.headers["Link"] == f'</ingestions?priority=LOW,HIGH&limit=2&cursor={cursor}>; rel="next"'
    assert set(cursor) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")
    last = await desk.call(api.ingestions, query=f"priority=HIGH,LOW&cursor={cursor}")
    assert [one["ingestion_id"] for one in last.json["ingestions"]] == [str(posted[0])]
    assert (last.json["next_cursor"], "Link" in last.headers) == (None, False)
    for query in (f"cursor={cursor}", f"priority=LOW&cursor={cursor}", f"priority=HIGH,LOW&cursor={cursor}x"):
        assert (await desk.call(api.ingestions, query=query)).json["type"] == "/problems/invalid-query"


# Lanes ---------------------------------------------------------------------------------------------------------------


async def test_the_lanes_show_what_waits_and_what_runs(desk: Desk) -> None:
    """Down to the first list of each lane that was never started."""
    one = await desk.post(range(1, 61), label="July")
    two = await desk.post([1])
    await desk.post([2])
    await desk.gate()
    for index in range(3):
        await desk.start(one, index)
    await desk.wait(one, 0)
    seen = (await desk.call(api.lanes)).json
    assert list(seen) == [
        "now", "interval_seconds", "last_start_at", "next_slot_at", "throttled", "down_since", "trouble", "paused",
        "running", "lanes",
    ]  # fmt: skip
    now = desk.clock.now()
    assert (seen["last_start_at"], seen["next_slot_at"]) == (
        now.isoformat(), (now + timedelta(seconds=5)).isoformat(),
    )  # fmt: skip
    assert seen["running"] == [
        {
            "ingestion_id": str(one),
            "label": "July",
            "priority": "HIGH",
            "batch": batch,
            "of": 20,
            "since": now.isoformat(),
        }
        for batch in (2, 3)
    ]
    high = seen["lanes"]["HIGH"]
    assert (high["ingestions"], high["batches"], high["paused"]) == (3, 18 + 2, None)
    assert high["new_list_starts_at"] == (now + timedelta(seconds=5 * 21)).isoformat()
    assert [(shown["ingestion_id"], shown["status"]) for shown in high["front"]] == [
        (str(one), "triggered"),
        (str(two), "yet_to_start"),
    ]
    assert [shown["forecast"]["batches_ahead"] for shown in high["front"]] == [0, 18]
    assert seen["lanes"]["LOW"] == {
        "paused": None, "ingestions": 0, "batches": 0, "oldest_at": None,
        "new_list_starts_at": high["new_list_starts_at"], "front": [],
    }  # fmt: skip


async def test_a_batch_whose_process_is_gone_is_not_shown_as_running(desk: Desk) -> None:
    """Its lease is over."""
    one = await desk.post([1])
    await desk.start(one, 0)
    await desk.gate(age=0.0)
    assert len((await desk.call(api.lanes)).json["running"]) == 1
    desk.clock.seconds += 30
    assert (await desk.call(api.lanes)).json["running"] == []


async def test_a_throttled_gate_says_why_and_until_when(desk: Desk) -> None:
    """And the forecast reckons with it."""
    await desk.post([1])
    await desk.gate(due=600.0, throttled_reason="the API answered 429", down_since="2026-01-01", trouble="two")
    seen = (await desk.call(api.lanes)).json
    until = (desk.clock.now() + timedelta(seconds=600)).isoformat()
    assert seen["throttled"] == {"until": until, "reason": "the API answered 429"}
    assert (seen["down_since"], seen["trouble"], seen["next_slot_at"]) == ("2026-01-01", "two", until)
    assert seen["lanes"]["HIGH"]["front"][0]["forecast"]["starts_at"] == until


async def test_pausing_and_resuming_answer_with_the_lanes(desk: Desk) -> None:
    """Each switch for itself."""
    since = desk.clock.now()
    until = (since + timedelta(hours=1)).isoformat()
    body = {"reason": "invoices first", "until": until}
    seen = (await desk.call(api.pause, "PUT", switch="LOW", body=body)).json
    assert seen["lanes"]["LOW"]["paused"] == {"reason": "invoices first", "since": since.isoformat(), "until": until}
    seen = (await desk.call(api.pause, "PUT", switch="ALL")).json
    assert (seen["paused"]["reason"], seen["paused"]["until"], seen["lanes"]["HIGH"]["paused"]) == (None, None, None)
    seen = (await desk.call(api.pause, "DELETE", switch="ALL")).json
    assert (seen["paused"], seen["lanes"]["LOW"]["paused"]["until"]) == (None, until)


# Costs ---------------------------------------------------------------------------------------------------------------


COSTS = {
    "POST /ingest": (api.ingest, {"ids": [3], "priority": "LOW"}, {"table.insert": 2, "queue.put": 1}),
    "GET /status/{id}": (api.status, None, {"table.get": 1}),
    "GET /status/{id}/batches": (api.batches, None, {"table.get": 1}),
    "GET /results/{id}": (api.results, None, {"table.get": 1}),
    "GET /ingestions/{id}": (api.ingestion, None, {"table.get": 3, "table.query": 1}),
    "GET /ingestions": (api.ingestions, None, {"table.query": 3, "table.get": 4}),
    "GET /lanes": (api.lanes, None, {"table.query": 1, "table.get": 2}),
    "PATCH /ingestions/{id}": (
        api.ingestion, {"priority": "LOW"}, {"table.merge": 3, "queue.put": 1, "table.get": 5, "table.query": 1},
    ),
    "POST /ingestions/{id}/cancel": (
        api.cancel, None, {"table.get": 1, "table.merge": 1, "table.replace": 1, "table.delete": 1},
    ),
    "POST /ingestions/{id}/retry": (
        api.retry, None, {"table.get": 3, "table.query": 4, "table.insert": 2, "queue.put": 1, "table.merge": 1},
    ),
    "PUT /lanes/LOW/pause": (
        api.pause, None, {"table.insert": 1, "table.merge": 1, "table.query": 1, "table.get": 3},
    ),
    "DELETE /lanes/LOW/pause": (
        api.pause, None, {"table.insert": 1, "table.merge": 1, "table.query": 1, "table.get": 2},
    ),
    "GET /metrics": (api.metrics, None, {"table.query": 1, "table.get": 2, "queue.poison_count": 3}),
    "GET /health": (api.health, None, {"table.get": 1, "queue.peek": 3}),
}  # fmt: skip


@pytest.mark.parametrize("name", COSTS)
async def test_what_a_call_costs(desk: Desk, name: str) -> None:
    """With two lists waiting in one lane, and nothing kept from a call before."""
    handler, body, expected = COSTS[name]
    one = await desk.post([1])
    await desk.post([2])
    if "retry" in name:
        one = await desk.post([3])
        await desk.run(one, status=Status.FAILED)
    desk.calls.clear()
    answer = await desk.call(handler, name.partition(" ")[0], body=body, ingestion_id=one, switch="LOW")
    assert answer.status in (200, 202)
    assert {call: desk.calls.count(call) for call in desk.calls} == expected


def test_the_readme_says_what_a_call_costs() -> None:
    """The same numbers, for every call."""
    paragraph = (ROOT / "README.md").read_text().partition("What a request costs")[2].partition("\n\n")[0]
    shown = dict(re.findall(r"`([A-Z]+ /[^`]*)`\s+(\d+)", paragraph))
    assert shown == {name: str(sum(expected.values())) for name, (_, _, expected) in COSTS.items()}


async def test_what_was_seen_is_kept_for_a_second(desk: Desk) -> None:
    """However many poll."""
    posted = [await desk.post([number]) for number in range(20)]
    for one in posted:
        await desk.call(api.ingestion, ingestion_id=one)
    desk.calls.clear()
    for one in posted:
        await desk.call(api.ingestion, ingestion_id=one)
    assert desk.calls == ["table.get"] * 20
    desk.clock.seconds += 1
    await desk.call(api.lanes)
    assert desk.calls.count("table.query") == 1
