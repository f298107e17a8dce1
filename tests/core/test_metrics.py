"""Tests of `GET /metrics`, with Prometheus' own parser."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from ingest_core.api import handlers as api
from ingest_core.models import Priority, Status
from tests.support.callers import Desk, Told


@pytest.fixture
def desk() -> Desk:
    """A service in memory."""
    return Desk()


def figures(answer: Told) -> dict[str, float]:
    """Each value by its name and its label, as Prometheus reads them."""
    families = list(text_string_to_metric_families(answer.text))
    assert all(family.documentation and family.type in ("gauge", "counter") for family in families)
    samples = [sample for family in families for sample in family.samples]
    return {" ".join([sample.name, *sample.labels.values()]): sample.value for sample in samples}


async def test_a_service_that_has_never_worked_has_figures_too(desk: Desk) -> None:
    """Every lane and every switch, so that an alert finds a value; only no start that never was."""
    answer = await desk.call(api.metrics)
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4"
    assert figures(answer) == {
        **{f"{name} {lane}": 0 for lane in Priority for name in (
            "ingest_open_ingestions", "ingest_waiting_batches", "ingest_oldest_wait_seconds", "ingest_poison_messages",
        )},
        **{f"ingest_paused {switch}": 0 for switch in ("ALL", *Priority)},
        "ingest_batches_in_flight": 0, "ingest_batches_running": 0, "ingest_slots_granted_total": 0,
        "ingest_throttled": 0, "ingest_api_down": 0, "ingest_interval_seconds": 5,
    }  # fmt: skip


async def test_what_waits_runs_and_failed_is_counted(desk: Desk) -> None:
    """By lane. A list that was started does not wait, however old it is."""
    started = await desk.post([1, 2, 3, 4, 5, 6, 7])
    desk.clock.seconds += 100
    await desk.post([1, 2, 3, 4], "LOW")
    for index in (0, 1):
        await desk.start(started, index)
    await desk.wait(started, 0)
    await desk.lanes.put_poison(Priority.HIGH, "{}")
    desk.clock.seconds += 7
    found = figures(await desk.call(api.metrics))
    assert [found[f"ingest_open_ingestions {lane}"] for lane in Priority] == [1, 0, 1]
    assert [found[f"ingest_waiting_batches {lane}"] for lane in Priority] == [2, 0, 2]
    assert [found[f"ingest_oldest_wait_seconds {lane}"] for lane in Priority] == [0, 0, 7]
    assert [found[f"ingest_poison_messages {lane}"] for lane in Priority] == [1, 0, 0]
    assert (found["ingest_batches_in_flight"], found["ingest_batches_running"]) == (2, 1)
    await desk.run(await desk.post([1]), status=Status.FAILED)
    assert figures(await desk.call(api.metrics))["ingest_open_ingestions HIGH"] == 1


async def test_the_gate_and_its_switches_are_shown(desk: Desk) -> None:
    """Starts as a time, so that Prometheus can say how long ago the last one was."""
    started_at = desk.clock.now()
    await desk.gate(slot=41, due=600.0, throttled_reason="the API answered 429", down_since="2026-01-01")
    await desk.service.pause("LOW", reason="invoices first", until=None)
    found = figures(await desk.call(api.metrics))
    assert found["ingest_slots_granted_total"] == 41
    assert found["ingest_last_start_timestamp_seconds"] == started_at.timestamp()
    assert (found["ingest_throttled"], found["ingest_api_down"]) == (1, 1)
    assert [found[f"ingest_paused {switch}"] for switch in ("ALL", *Priority)] == [0, 0, 0, 1]
