"""Runs cases of the crash matrix: a JSON object a line on standard input, what is wrong a line on standard output.

A process of its own that never has an event loop or a thread when it forks, so that a child may die anywhere. It has
imported everything once: a case costs a fork, not the start of an interpreter.

A case is `{"scenario", "call", "fate", "account", "ledger"}`; its answer is
`{"calls", "failed", "died", "wrong", "starts"}`.
"""

import asyncio
import json
import logging
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from azure.core.pipeline.transport import AsyncHttpTransport

from ingest_core.adapters import azure
from tests.proof.scenarios import SCENARIOS, Scenario, carry_on, nothing
from tests.support.faults import DEATH, Fate, Faults, at, outage
from tests.support.ledger import starts
from tests.support.world import CALL_SECONDS, AzureBackend, Host, World, make_world

VISIBILITY_SECONDS = 1
"""What passes in real time is made short."""

azure.VISIBILITY_SECONDS = VISIBILITY_SECONDS


async def no_pause(_transport: AsyncHttpTransport, _seconds: float) -> None:
    """The SDK's pauses between its tries take no time."""


AsyncHttpTransport.sleep = no_pause


def main() -> None:
    """Answer until the input ends."""
    logging.disable(logging.CRITICAL)
    for line in sys.stdin:
        print(json.dumps(run(json.loads(line))), flush=True)  # noqa: T201 # the answer


def run(case: Mapping[str, Any]) -> dict[str, Any]:
    """Run a case to its end."""
    scenario = SCENARIOS[case["scenario"]]
    backend = AzureBackend(case["account"])
    world = make_world(backend, Path(case["ledger"]), settings=scenario.settings, refusals=scenario.refusals)
    plan = outage(case["call"]) if case["fate"] == "outage" else at(case["call"], Fate(case["fate"]))
    faults = Faults(plan, pass_time=world.time.pass_by, call_seconds=CALL_SECONDS)
    calls: list[str] = []
    try:
        if case["fate"].startswith("death"):
            died = _in_child(lambda: asyncio.run(_attack(world, scenario, faults)))
            found = asyncio.run(_carry_on(world, scenario, None))
        else:
            died = False
            calls, found = asyncio.run(_in_one_process(world, scenario, faults))
    except Exception as error:  # noqa: BLE001 # a case must not end the worker; the test reports it
        return {
            "calls": calls,
            "failed": faults.failed,
            "died": False,
            "wrong": [f"{type(error).__name__}: {error}"],
            "starts": [],
        }
    finally:
        world.ledger.close()
    started = [start.at for start in starts(world.ledger.events())]
    return {"calls": calls, "failed": faults.failed, "died": died, "wrong": found, "starts": started}


def _in_child(work: Any) -> bool:  # noqa: ANN401 # any callable
    pid = os.fork()
    if pid == 0:
        try:
            work()
        except BaseException:  # noqa: BLE001 # nothing may return into the parent's stack
            sys.excepthook(*sys.exc_info())
            os._exit(1)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code not in (0, DEATH):
        raise ChildProcessError(f"the child ended with {code}")
    return code == DEATH


async def _in_one_process(world: World, scenario: Scenario, faults: Faults) -> tuple[list[str], list[str]]:
    survivor = await _attack(world, scenario, faults)
    calls = list(faults.calls)
    return calls, await _carry_on(world, scenario, survivor)


async def _attack(world: World, scenario: Scenario, faults: Faults) -> Host:
    """Prepare without faults, then take the step with them."""
    plan, faults.plan = faults.plan, Faults().plan
    empty = scenario.prepare is nothing
    host = world.host(None if scenario.fresh else faults, create=not empty)
    await scenario.prepare(world, host)
    if scenario.fresh or empty:
        host = world.host(faults, create=empty)
    faults.calls.clear()
    faults.plan = plan
    await scenario.attacked(world, host)
    faults.heal()
    return host


async def _carry_on(world: World, scenario: Scenario, survivor: Host | None) -> list[str]:
    return await carry_on(world, scenario, survivor, wait=lambda: asyncio.sleep(VISIBILITY_SECONDS / 4))


if __name__ == "__main__":
    main()
