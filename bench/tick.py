"""What a tick costs: storage calls and milliseconds, with and without a history in the tables and the queues."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.bodies import ids_of
from bench.counting import Calls
from bench.history import add_finished, many
from bench.plan import Plan
from bench.report import Bar, Chart, Row, Section
from bench.service import Service, service_on
from bench.stats import ratios, spread
from ingest_core.contract import IngestRequest
from ingest_core.dispatcher import Tick
from ingest_core.models import Priority
from tests.support.processes import Azurite, azurite

METHOD = """\
The dispatcher in-process on a real Azurite, with a clock on which sleeping takes no time, so that only work is timed;
the simulated source answers at once. Calls are counted as they leave the SDK. Three Azurites, by turns: one without a
history, one with {waiting} ingestions of {size} IDs waiting in LOW, one with {finished} finished ingestions (two rows
each). A *last* batch is one that finishes its ingestion."""

HISTORIES = ("none", "waiting", "finished")
KINDS = {"idle": 3, "HIGH": 6, "HIGH, last": 8, "LOW": 8, "LOW, last": 10}
"""Kinds of tick, and the storage calls that each is to take."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """Milliseconds (round by round) and the numbers of calls, by kind of tick."""

    milliseconds: Mapping[str, list[float]]
    calls: Mapping[str, set[int]]


class Bench:
    """One service on one Azurite, with its calls counted."""

    def __init__(self, storage: Azurite) -> None:
        self.counted = Calls()
        self.service = service_on(storage.connection_string, transport=self.counted.transport)
        self.found = Found(milliseconds={kind: [] for kind in KINDS}, calls={kind: set() for kind in KINDS})

    async def accept(self, size: int, priority: Priority) -> None:
        """Accept an ingestion."""
        await self.service.core.context.service.accept(IngestRequest(ids=ids_of(size), priority=priority))

    async def tick(self, kind: str, expected: Tick) -> float:
        """One tick: milliseconds; its calls are noted."""
        before = self.counted.count
        began = time.perf_counter()
        outcome = await self.service.core.dispatcher.tick()
        taken = (time.perf_counter() - began) * 1000
        assert outcome is expected, (kind, outcome)
        self.found.calls[kind].add(self.counted.count - before)
        return taken


async def _round(benches: Mapping[str, Bench], ticks: int) -> None:
    """Some ticks of each kind, the histories taking turns tick by tick; what is noted is each kind's median."""
    calm = {name: bench for name, bench in benches.items() if name != "waiting"}
    await _take_turns(calm, "idle", Tick.IDLE, ticks)
    for lane, among in ((Priority.HIGH, benches), (Priority.LOW, calm)):
        for bench in among.values():
            await bench.accept(3 * ticks + 1, lane)
        await _take_turns(among, lane.value, Tick.STARTED, ticks)
        await _take_turns(among, f"{lane.value}, last", Tick.STARTED, 1)
    await _take_turns({"waiting": benches["waiting"]}, "LOW", Tick.STARTED, ticks)


async def _take_turns(benches: Mapping[str, Bench], kind: str, expected: Tick, ticks: int) -> None:
    taken: dict[str, list[float]] = {name: [] for name in benches}
    for _ in range(ticks):
        for name, bench in benches.items():
            taken[name].append(await bench.tick(kind, expected))
    for name, bench in benches.items():
        bench.found.milliseconds[kind].append(spread(taken[name]).middle)


@asynccontextmanager
async def _benches(folder: Path) -> AsyncIterator[dict[str, Bench]]:
    with azurite(folder / "tick-0") as one, azurite(folder / "tick-1") as two, azurite(folder / "tick-2") as three:
        benches = {name: Bench(storage) for name, storage in zip(HISTORIES, (one, two, three), strict=True)}
        yield benches
        for bench in benches.values():
            await bench.service.storage.close()


async def measure(
    plan: Plan, folder: Path, then: Callable[[Service], Awaitable[Section]]
) -> tuple[dict[str, Found], Section]:
    """Ticks on all histories; then something else on the Azurite with the finished ingestions."""
    async with _benches(folder) as benches:
        size = waiting_size(plan)
        await many(plan.waiting, lambda: benches["waiting"].accept(size, Priority.LOW))
        await many(plan.finished, lambda: add_finished(benches["finished"].service.storage))
        for bench in benches.values():
            await bench.service.core.dispatcher.tick()  # becomes the incumbent
        for _ in range(plan.rounds):
            await _round(benches, plan.ticks)
        return {name: bench.found for name, bench in benches.items()}, await then(benches["finished"].service)


def waiting_size(plan: Plan) -> int:
    """So many IDs that the first of those that wait does not finish."""
    return 3 * (plan.rounds * plan.ticks + 10)


def section(plan: Plan, found: Mapping[str, Found]) -> Section:
    """All of it, as rows and a chart."""
    rows = [_calls_row(kind, calls, found) for kind, calls in KINDS.items()]
    rows += [_time_row(kind, found["none"]) for kind in KINDS]
    for history, kinds in (("waiting", ("HIGH", "LOW")), ("finished", ("idle", "HIGH", "LOW"))):
        count = plan.waiting if history == "waiting" else plan.finished
        rows += [_history_row(f"{count} {history}", kind, found["none"], found[history]) for kind in kinds]
    bars = [
        Bar(group=kind, kind=f"history: {history}", value=spread(found[history].milliseconds[kind]).middle)
        for kind in KINDS
        for history in HISTORIES
        if found[history].milliseconds[kind]
    ]
    method = METHOD.format(waiting=plan.waiting, size=waiting_size(plan), finished=plan.finished)
    return Section(title="Tick", method=method, rows=rows, charts=[Chart(title="One tick", unit="ms", bars=bars)])


def _calls_row(kind: str, calls: int, found: Mapping[str, Found]) -> Row:
    seen = set().union(*(one.calls[kind] for one in found.values()))
    return Row(
        what=f"storage calls of a tick, {kind}",
        measured=", ".join(map(str, sorted(seen))),
        goal=str(calls),
        reached=seen == {calls},
    )


def _time_row(kind: str, found: Found) -> Row:
    return Row(headline=kind == "HIGH", what=f"tick, {kind}", measured=spread(found.milliseconds[kind]).text("ms"))


def _history_row(history: str, kind: str, none: Found, found: Found) -> Row:
    times = ratios(found.milliseconds[kind], none.milliseconds[kind])
    limit = ""
    if "waiting" in history:
        limit = (
            "Azurite's peek looks through all messages of all queues: 1.5 ms more for each queue with 1 000 waiting, "
            "30 ms with 10 000. The peek that finds 32 messages takes Azurite 5 ms more than one that finds one, and "
            "the client 1 ms more to parse. A HIGH tick peeks once, a LOW one three times; every other call takes what "
            "it takes without a history."
        )
    return Row(
        what=f"tick, {kind}, {history}",
        measured=spread(found.milliseconds[kind]).text("ms"),
        beside=f"{times.text()} x without",
        goal="within 1.2 x",
        reached=times.middle <= 1.2,
        limit=limit,
    )
