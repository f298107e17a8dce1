"""Tests of what the service says of itself."""

import pytest

from ingest_core.errors import SourceUnavailable
from ingest_core.health import Health
from tests.support.fakes import Host

PATIENCE = 5 + 20 + 60


@pytest.fixture
def host() -> Host:
    """A service in memory."""
    return Host()


async def health(host: Host) -> Health:
    """How it stands."""
    return await host.core.context.health()


async def test_an_idle_service_is_well(host: Host) -> None:
    """Before its first tick and long after its last."""
    assert not (await health(host)).stalled
    await host.post([1])
    await host.tick()
    host.clock.seconds += 10_000
    found = await health(host)
    assert (found.stalled, found.waiting, found.paused) == ("", {"HIGH": 0, "MEDIUM": 0, "LOW": 0}, "")


@pytest.mark.parametrize(("settings", "patience"), [({}, PATIENCE), ({"interval": 7, "lease": 50}, 7 + 50 + 60)])
async def test_work_that_waits_and_does_not_start_is_a_fault(settings: dict[str, float], patience: float) -> None:
    """Longer than interval, lease and a minute."""
    host = Host(**settings)
    await host.post([1], "LOW")
    host.clock.seconds += patience - 1
    assert not (await health(host)).stalled
    host.clock.seconds += 3
    found = await health(host)
    assert "nothing has started" in found.stalled
    assert found.waiting["LOW"] == 1


async def test_a_long_backlog_is_no_fault_while_batches_start(host: Host) -> None:
    """The oldest message may be a day old."""
    await host.post(range(1, 1000))
    for _ in range(20):
        await host.tick()
        host.clock.seconds += 50
        assert not (await health(host)).stalled
    host.clock.seconds += PATIENCE
    assert (await health(host)).stalled


async def test_a_pause_that_the_api_asked_for_is_no_fault(host: Host) -> None:
    """Health says why nothing starts, and until the pause is over that is well."""
    host.source.answers[1] = [SourceUnavailable("the API answered 429", retry_after_seconds=600)]
    await host.post([1])
    await host.tick()
    host.clock.seconds += 590
    found = await health(host)
    assert (found.stalled, found.paused) == ("", "the API answered 429")
    host.clock.seconds += 15
    assert (await health(host)).paused == ""
    host.clock.seconds += PATIENCE
    assert (await health(host)).stalled


async def test_a_pause_is_over_when_the_next_batch_starts(host: Host) -> None:
    """Its lease is not a pause."""
    host.source.answers[1] = [SourceUnavailable("the API answered 429", retry_after_seconds=30)]
    await host.post([1])
    await host.tick()
    host.clock.seconds += 40
    paused = []

    async def look(_: int) -> None:
        paused.append((await health(host)).paused)

    host.source.on_fetch = look
    await host.tick()
    assert paused == [""]
