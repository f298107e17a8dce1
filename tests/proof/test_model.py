"""The service against its model, a plain priority queue, in virtual time: order, distance, progress, nothing lost.

The referee says exactly what is compared (`tests/support/referee.py`). `MODEL_EXAMPLES=2000` looks further, at random.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from ingest_core.adapters.azure import AzureStorage
from ingest_core.models import Priority
from ingest_core.ports import Storage
from tests.support.cluster import Answer, Cluster
from tests.support.emptied import empty
from tests.support.processes import azurite
from tests.support.storm import storm
from tests.support.virtual_time import HostClock, run, runner, true_time
from tests.support.wire import Fault

EXAMPLES = int(os.environ.get("MODEL_EXAMPLES", "0"))

hosts = st.integers(0, 2)
delays = st.sampled_from((0.5, 2.0, 6.0, 15.0, 40.0))
answers = st.builds(
    Answer,
    st.sampled_from(("ok", "ok", "failed", "held", "never")),
    st.sampled_from((0.0, 0.1, 3.0, 9.5)),
    st.sampled_from((None, 0.0, 7.0, 30.0)),
)


class Service(RuleBasedStateMachine):
    """Up to three hosts, and whatever may happen to them; in the end everything heals and drains."""

    connect: Callable[[], Storage] | None = None

    def __init__(self) -> None:
        super().__init__()
        self.runner = runner()
        self.cluster: Cluster | None = None

    def do(self, what: Callable[[Cluster], Awaitable[object] | None]) -> None:
        """Do something on the loop, where time stands still but for what it awaits."""

        async def main() -> None:
            awaited = what(self.cluster)
            if awaited is not None:
                await awaited

        self.runner.run(main())

    @initialize(seed=st.integers(0, 1000), count=st.integers(1, 3))
    def begin(self, seed: int, count: int) -> None:
        async def main() -> None:
            self.cluster = Cluster(seed=seed, connect=type(self).connect)
            for _ in range(count):
                self.cluster.add_host()

        self.runner.run(main())

    def host(self, number: int):  # noqa: ANN201 # hypothesis reads annotations of rules only
        """One of those there are."""
        return self.cluster.hosts[number % len(self.cluster.hosts)]

    @rule(seconds=st.one_of(st.sampled_from((5.0, 12.0, 30.0)), st.floats(0.001, 6.0)))
    def time_passes(self, seconds: float) -> None:
        self.do(lambda _: asyncio.sleep(seconds))

    @rule(number=hosts, size=st.integers(1, 14), lane=st.sampled_from(Priority), tries=st.integers(1, 3))
    def post(self, number: int, size: int, lane: Priority, tries: int) -> None:
        self.do(lambda cluster: void(cluster.post(self.host(number), size, lane, tries=tries)))

    @rule(number=hosts, times=st.integers(1, 2))
    def tick_by_hand(self, number: int, times: int) -> None:
        self.do(lambda _: void([self.host(number).tick() for _ in range(times)]))

    @rule(number=hosts, late=st.sampled_from((0.0, 0.0, 1.7, 4.0)), every=st.sampled_from((1, 1, 2, 1000)))
    def timer_turns(self, number: int, late: float, every: int) -> None:
        ticks = iter(range(1_000_000))
        self.host(number).jitter = lambda: late
        self.host(number).skips = lambda: next(ticks) % every != 0

    @rule(number=hosts)
    def kill(self, number: int) -> None:
        self.do(lambda _: self.host(number).kill())

    @rule(number=hosts)
    def live_on_as_a_zombie(self, number: int) -> None:
        self.do(lambda _: self.host(number).turn_into_zombie())

    @rule(number=hosts)
    def boot(self, number: int) -> None:
        self.do(lambda _: void(self.host(number).boot()))

    @rule(number=hosts, seconds=delays)
    def freeze(self, number: int, seconds: float) -> None:
        self.do(lambda _: self.host(number).clock.freeze(seconds))

    @rule(number=hosts, fault=st.sampled_from(Fault), calls=st.integers(0, 12), seconds=delays)
    def storage_turns(self, number: int, fault: Fault, calls: int, seconds: float) -> None:
        if self.host(number).process:
            self.host(number).process.wire.arm(fault, calls=calls, seconds=seconds)

    @rule(script=st.lists(answers, min_size=1, max_size=6))
    def source_turns(self, script: list[Answer]) -> None:
        self.cluster.source.script.extend(script)

    @rule(number=st.integers(0, 100))
    def look(self, number: int) -> None:
        entries = self.cluster.referee.entries
        if entries:
            self.do(lambda cluster: cluster.check_status(entries[number % len(entries)]))

    @rule()
    def see_progress(self) -> None:
        self.do(lambda cluster: cluster.see_progress())

    @invariant()
    def agrees(self) -> None:
        if self.cluster:
            self.cluster.referee.check()

    def teardown(self) -> None:
        try:
            if self.cluster and not self.cluster.referee.violations:
                self.do(lambda cluster: cluster.drain())
        finally:
            if self.cluster:
                self.do(lambda cluster: cluster.close())
            self.runner.close()


def void(_: object) -> None:
    """Nothing to await."""


def profile(examples: int, steps: int) -> settings:
    """The same examples in every run, or, when more are asked for, others each time."""
    return settings(
        max_examples=EXAMPLES or examples,
        stateful_step_count=steps,
        derandomize=not EXAMPLES,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )


@pytest.mark.timeout(0 if EXAMPLES else 120)
def test_the_service_agrees_with_the_priority_queue() -> None:
    """Whatever happens to ticks, hosts, clocks, calls and the external API."""
    run_state_machine_as_test(Service, settings=profile(400, 40))


@pytest.fixture
def real_storage(tmp_path: Path) -> Iterator[type[Service]]:
    """The same machine, over an Azurite of its own; every example begins with an empty account."""
    with azurite(tmp_path) as one:

        class OverAzurite(Service):
            @staticmethod
            def connect() -> Storage:
                return AzureStorage(one.connection_string)

            def __init__(self) -> None:
                empty(one.connection_string)
                super().__init__()

        yield OverAzurite


@pytest.mark.timeout(0 if EXAMPLES else 120)
def test_the_service_agrees_with_the_priority_queue_on_azurite(real_storage: type[Service]) -> None:
    """Virtual time stands still while real storage works."""
    run_state_machine_as_test(real_storage, settings=profile(8, 25))


@pytest.mark.parametrize("seed", range(12))
def test_an_hour_of_storms_breaks_nothing(seed: int) -> None:
    """Longer than an example, and thick with faults."""
    report = run(lambda: storm(seed, seconds=3600))
    assert not report.violations
    assert report.starts > 100


@pytest.mark.parametrize("count", [1, 3])
def test_without_faults_no_slot_is_wasted_and_none_is_early(count: int) -> None:
    """An hour with work waiting; the clocks are right, so a gap is the interval or more, exactly."""

    async def scenario() -> list[float]:
        cluster = Cluster(seed=count)
        for _ in range(count):
            cluster.add_host(HostClock())
        for lane in (*Priority, *Priority):
            cluster.post(cluster.hosts[0], 400, lane)
        await asyncio.sleep(3600)
        cluster.referee.check()
        assert cluster.referee.waiting()
        await cluster.close()
        return cluster.referee.gaps()

    gaps = run(scenario)
    assert min(gaps) >= 5.0
    assert 5.0 * len(gaps) / sum(gaps) >= 0.999


def test_virtual_time_is_what_the_scenario_waits_for() -> None:
    """And nothing else."""

    async def scenario() -> float:
        await asyncio.sleep(86_400)
        return true_time()

    assert run(scenario) == pytest.approx(86_400)
