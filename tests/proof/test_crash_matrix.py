"""Every storage call of accept, tick and recovery fails once, in every way; nothing is lost, doubled or out of order.

The matrix enumerates the calls itself: each scenario runs once without faults and says which calls its step makes. On
Azurite each case has a storage account of its own; in memory every pair of calls fails as well.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import count
from pathlib import Path
from queue import Queue
from typing import Any

import pytest

from ingest_core.adapters.memory import VISIBILITY, Account
from tests.proof.scenarios import SCENARIOS, Scenario, carry_on
from tests.support.accounts import Accounts
from tests.support.faults import Died, Fate, Faults, Plan, calm
from tests.support.processes import ROOT
from tests.support.world import CALL_SECONDS, INTERVAL, Host, MemoryBackend, make_world

WORKERS = (os.cpu_count() or 1) + 1
"""One more than processors: a case waits now and then for a message to become visible."""

SURVIVED = ("refused", "reset_once", "timed_out", "outage")
SLOTS_LOST = 2
"""By a call that failed under a living host: its own slot, and what the host that observes has to wait."""

DEADLY = ("death_before", "death_after")


class Matrix:
    """Workers that run cases, each in an account of its own."""

    def __init__(self, accounts: Accounts, folder: Path) -> None:
        self._accounts = accounts
        self._folder = folder
        self._numbers = count()
        self._threads = ThreadPoolExecutor(WORKERS)
        self._idle: Queue[subprocess.Popen[str]] = Queue()
        self._workers = [
            subprocess.Popen(
                [sys.executable, "-m", "tests.proof.crash_worker"],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for _ in range(WORKERS)
        ]
        for worker in self._workers:
            self._idle.put(worker)

    def run(self, cases: Sequence[tuple[str, int, str]]) -> list[dict[str, Any]]:
        """Run the cases side by side."""
        return list(self._threads.map(self._run, cases))

    def stop(self) -> None:
        """End the workers."""
        self._threads.shutdown()
        for worker in self._workers:
            worker.communicate(timeout=30)

    def _run(self, case: tuple[str, int, str]) -> dict[str, Any]:
        scenario, call, fate = case
        ledger = self._folder / f"ledger-{next(self._numbers)}"
        account = self._accounts.new()
        given = {"scenario": scenario, "call": call, "fate": fate, "account": account, "ledger": str(ledger)}
        worker = self._idle.get()
        worker.stdin.write(f"{json.dumps(given)}\n")
        worker.stdin.flush()
        answer = json.loads(worker.stdout.readline())
        self._idle.put(worker)
        return answer


@pytest.fixture(scope="module")
def matrix(storage_accounts: Accounts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Matrix]:
    """Workers, started once."""
    one = Matrix(storage_accounts, tmp_path_factory.mktemp("matrix"))
    try:
        yield one
    finally:
        one.stop()


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_no_failing_call_and_no_death_breaks_an_invariant(matrix: Matrix, scenario: str) -> None:
    """Before or after every storage call, by exception or death: new hosts bring all to its end, once and in order."""
    [undisturbed] = matrix.run([(scenario, 0, "pass")])
    assert undisturbed["wrong"] == []
    calls = undisturbed["calls"]
    cases = [(scenario, call, fate) for call in range(1, len(calls) + 1) for fate in (*SURVIVED, *DEADLY)]
    answers = matrix.run(cases)
    wrong_ones = [
        f"{fate} at call {call} ({calls[call - 1]}): {answer['wrong']}"
        for (_, call, fate), answer in zip(cases, answers, strict=True)
        if answer["wrong"]
    ]
    assert not wrong_ones, "\n".join(wrong_ones)
    for (_, call, fate), answer in zip(cases, answers, strict=True):
        assert answer["died"] == (fate in DEADLY), (call, fate)
        assert fate in DEADLY or answer["failed"], (call, fate)
    if scenario.startswith("tick"):
        _loses_little(undisturbed, cases, answers)
    [beyond] = matrix.run([(scenario, len(calls) + 1, "death_before")])
    assert not beyond["died"], "the step has more calls than were counted"
    assert not beyond["wrong"]


def _loses_little(
    undisturbed: dict[str, Any], cases: Sequence[tuple[str, int, str]], answers: Sequence[dict[str, Any]]
) -> None:
    """One call that fails under a living host makes no batch run twice, and costs a few slots at most.

    But for the poison message of a failing batch: it comes before the batch's end, so without it there is no end.
    """
    usual = undisturbed["starts"]
    for (_, call, fate), answer in zip(cases, answers, strict=True):
        again = undisturbed["calls"][call - 1].endswith("-poison") and cases[0][0] == "tick_failed_for_good"
        if fate in ("refused", "reset_once", "timed_out"):
            assert len(usual) <= len(answer["starts"]) <= len(usual) + again, (call, fate, "a batch ran twice")
            assert answer["starts"][-1] <= usual[-1] + (SLOTS_LOST + again) * INTERVAL, (call, fate, answer["starts"])


MEMORY_FATES = (Fate.REFUSED, Fate.TIMED_OUT, Fate.DEATH_BEFORE, Fate.DEATH_AFTER)


@pytest.mark.parametrize("scenario", SCENARIOS)
async def test_no_pair_of_failing_calls_breaks_an_invariant(scenario: str, tmp_path: Path) -> None:
    """In memory any two calls of a step fail, the second perhaps a consequence of the first."""
    numbers = count()

    async def wrong_with(plan: Plan) -> int:
        calls, found = await _run_in_memory(SCENARIOS[scenario], plan, tmp_path / str(next(numbers)))
        assert not found, (scenario, calls, found)
        return len(calls)

    for first in range(1, 1 + await wrong_with(calm)):
        for fate in MEMORY_FATES:
            reached = await wrong_with(_both({first: fate}))
            for second in range(first + 1, reached + 1):
                for another in (Fate.TIMED_OUT, Fate.DEATH_AFTER):
                    await wrong_with(_both({first: fate, second: another}))


def _both(fates: dict[int, Fate]) -> Plan:
    return lambda number: fates.get(number, Fate.PASS)


async def _run_in_memory(scenario: Scenario, plan: Plan, ledger: Path) -> tuple[list[str], list[str]]:
    account = Account(now=lambda: world.time.began_at + timedelta(seconds=world.time.seconds))
    world = make_world(MemoryBackend(account), ledger, settings=scenario.settings, refusals=scenario.refusals)
    faults = Faults(pass_time=world.time.pass_by, call_seconds=CALL_SECONDS)
    host: Host | None = world.host(None if scenario.fresh else faults)
    await scenario.prepare(world, host)
    if scenario.fresh:
        host = world.host(faults)
    faults.calls.clear()
    faults.plan = plan
    try:
        await scenario.attacked(world, host)
        await host.tick()  # so that there is something to fail after what has failed
    except Died:
        host = None
    calls = list(faults.calls)
    faults.heal()

    async def pass_by() -> None:
        world.time.pass_by(VISIBILITY.total_seconds())

    try:
        return calls, await carry_on(world, scenario, host, wait=pass_by)
    finally:
        world.ledger.close()
