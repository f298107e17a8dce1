"""The service against its model, a plain priority queue, in virtual time: order, distance, progress, nothing lost.

The referee says exactly what is compared (`tests/support/referee.py`); `tests/proof/model_soak.py` looks further.
"""

import asyncio

import pytest

from tests.proof.model_soak import FETCHES
from tests.support.cluster import Cluster
from tests.support.machines import Answer
from tests.support.storm import storm
from tests.support.virtual_time import HostClock, run, true_time


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("interval", [5.0, 1.0, 0.2])
def test_a_storm_breaks_nothing(interval: float, seed: int) -> None:
    """With fetches shorter and longer than the interval, on one to three hosts."""
    report = run(lambda: storm(seed, slots=200, interval=interval, fetch=FETCHES))
    assert not report.violations
    assert report.starts > 40


@pytest.mark.parametrize("fetch", [0.02, 0.98, 1.6])
@pytest.mark.parametrize(("interval", "hosts"), [(5.0, 1), (5.0, 3), (1.0, 1), (0.2, 1), (0.2, 3)])
def test_without_faults_every_slot_is_used_and_none_is_early(interval: float, hosts: int, fetch: float) -> None:
    """The clocks are right, so a gap is the interval or more, exactly; a fetch takes so many intervals."""
    seconds = max(100 * interval, 80.0)  # longer than a tick

    async def scenario() -> list[float]:
        cluster = Cluster(seed=hosts, interval=interval)
        cluster.usual = lambda _: Answer("ok", fetch * interval)
        for _ in range(hosts):
            cluster.add_host(HostClock())
        for _ in range(int(seconds / interval / 10) + 2):
            await cluster.post(30)
        await asyncio.sleep(seconds)
        cluster.referee.check()
        assert cluster.referee.open()
        await cluster.close()
        return cluster.referee.gaps()[10:]

    gaps = run(scenario)
    assert min(gaps) >= interval
    assert interval * len(gaps) / sum(gaps) >= 0.99


def test_virtual_time_is_what_the_scenario_waits_for() -> None:
    """And nothing else."""

    async def scenario() -> float:
        await asyncio.sleep(86_400)
        return true_time()

    assert run(scenario) == pytest.approx(86_400)
