"""A process dies before and after every storage call of a scenario, and another one finishes everything.

The scenario accepts two lists in two lanes, dispatches them (with a failed attempt between), ends, closes and sweeps.
The number of its calls is counted first; each is then cut in a run of its own, over storage in memory. Some are cut
over Azurite too.
"""

import asyncio
from collections.abc import Callable

import pytest

from ingest_core.models import Priority
from ingest_core.ports import Storage
from ingest_core.storage.azure import AzureStorage
from tests.support.accounts import Accounts
from tests.support.cluster import Cluster
from tests.support.machines import Answer
from tests.support.virtual_time import HostClock, run
from tests.support.wire import Fault

Connect = Callable[[], Storage]


async def scenario(cluster: Cluster) -> None:
    """Everything that a process does with a few lists, until it idles or dies."""
    host = cluster.hosts[0]
    cluster.script.extend((Answer("ok", 0.1), Answer("failed", 0.1), Answer("rejected", 0.1)))
    await cluster.post(4, Priority.LOW, to=host)
    await cluster.post(2, Priority.HIGH, to=host)
    await asyncio.sleep(45)


def calls_of_the_scenario(fault: Fault | None = None, number: int = 0, connect: Connect | None = None) -> list[str]:
    """Run it with a fault at one call, let a second host finish, check, and return what the first one called."""

    async def main() -> list[str]:
        cluster = Cluster(connect=connect)
        host = cluster.add_host(HostClock())
        if fault:
            host.process.wire.arm(fault, number=number)
        first = host.process.wire
        try:
            await scenario(cluster)
            assert first.dead == (fault is not None)
            calls = list(first.calls)
            await cluster.drain(within=600)
            return calls
        finally:
            await cluster.close()

    return run(main)


CALLS = calls_of_the_scenario()
CUT = range(1, len(CALLS) + 1)
FIRST_OF_A_KIND = {CALLS.index(name) + 1 for name in set(CALLS)}
LAST_OF_A_KIND = {len(CALLS) - CALLS[::-1].index(name) for name in set(CALLS)}


def named(number: int) -> str:
    """A case by its call."""
    return f"{number}-{CALLS[number - 1]}"


def test_the_scenario_makes_every_kind_of_call() -> None:
    """So that every kind is cut."""
    assert {
        "ingestions.insert",
        "LOW.put",
        "backlog.insert",
        "HIGH.peek",
        "dispatch.merge",
        "ingestions.merge",
        "ingestions.put_and_merge",
        "history.replace",
        "backlog.delete",
        "HIGH.receive",
        "HIGH.delete",
    } <= set(CALLS)


@pytest.mark.parametrize("fault", [Fault.DIES_BEFORE, Fault.DIES_AFTER])
@pytest.mark.parametrize("number", CUT, ids=named)
def test_a_crash_at_any_call_loses_nothing(number: int, fault: Fault) -> None:
    """Every batch ends once, in order and in time, whoever finishes it."""
    calls_of_the_scenario(fault, number)


@pytest.mark.parametrize("fault", [Fault.REFUSED, Fault.ANSWER_LOST, Fault.LATE])
@pytest.mark.parametrize("number", sorted(FIRST_OF_A_KIND | LAST_OF_A_KIND), ids=named)
def test_a_call_that_fails_loses_nothing(number: int, fault: Fault) -> None:
    """The first and the last call of each kind: some are upkeep's, others the dispatcher's."""

    async def main() -> None:
        cluster = Cluster()
        host = cluster.add_host(HostClock())
        host.process.wire.arm(fault, number=number, seconds=3.0)
        try:
            await scenario(cluster)
            await cluster.drain(within=600)
        finally:
            await cluster.close()

    run(main)


@pytest.mark.parametrize("number", sorted(FIRST_OF_A_KIND), ids=named)
def test_a_crash_loses_nothing_on_azurite_either(number: int, storage_accounts: Accounts) -> None:
    """Virtual time stands still while real storage works."""
    connection_string = storage_accounts.new()
    calls_of_the_scenario(Fault.DIES_AFTER, number, lambda: AzureStorage(connection_string))
