"""Measures a slot and an idle tick in storage calls and milliseconds, with and without a history in storage."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import mean

from bench.bodies import ids_of
from bench.counting import Calls
from bench.history import ROWS_AT_ONCE, add_finished, many
from bench.plan import Plan
from bench.report import Bar, Chart, Row, Section
from bench.service import INTERVAL, service_on
from bench.stats import number, ratios, spread
from devtools.azurite import Azurite, azurite
from ingest_core.dispatch.dispatcher import TICK_SECONDS, Tick
from ingest_core.models import IngestRequest, Priority

METHOD = """\
The dispatcher in-process on a real Azurite, at the shortest interval, {interval:g} s, with a clock on which waiting for
a slot takes no time, so that only work is timed; the simulated source answers at once. A *slot* is from one start of a
batch to the next one of the same tick: the look, the take, the mark, and the end of the batch before. *Idle* is a whole
tick that finds nothing. Calls are counted as they leave the SDK, as the mean of a round's slots. Three Azurites, by
turns: one without a history, one with {waiting} ingestions of {size} IDs waiting in LOW, one with {finished} ended
ingestions: all have a row in the history, and {whole} of them their own rows and batch rows too."""

HISTORIES = ("none", "waiting", "finished")
KINDS = {"idle": 3, "HIGH": 5, "LOW": 7}
"""What is measured, and the goal for its storage calls."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Milliseconds and numbers of calls of each round, by kind."""

    milliseconds: Mapping[str, list[float]]
    calls: Mapping[str, list[float]]


class Bench:
    """One service on one Azurite, with its calls counted."""

    def __init__(self, storage: Azurite) -> None:
        self.counted = Calls()
        self.service = service_on(storage.connection_string, transport=self.counted.transport)
        self.measured = Measured(milliseconds={kind: [] for kind in KINDS}, calls={kind: [] for kind in KINDS})

    async def accept(self, size: int, priority: Priority) -> None:
        """Accept an ingestion."""
        await self.service.parts.context.service.accept(IngestRequest(ids=ids_of(size), priority=priority))

    async def idle(self) -> None:
        """Measure a tick that finds nothing to start."""
        began, before = time.perf_counter(), self.counted.count
        await self.finish()
        self._add("idle", [(time.perf_counter() - began) * 1000], self.counted.count - before)

    async def slots(self, lane: Priority, count: int) -> None:
        """Measure `count` slots of a lane. It needs two more batches: one to warm up, and one to end the last slot."""
        starts = await self.start(count + 2)
        taken = [(later[0] - earlier[0]) * 1000 for earlier, later in pairwise(starts[1:])]
        self._add(lane.value, taken, (starts[-1][1] - starts[1][1]) / count)

    async def start(self, count: int) -> list[tuple[float, int]]:
        """Start `count` batches in one tick; return the moment of each start, and the number of calls until then."""
        starts: list[tuple[float, int]] = []

        def record() -> None:
            starts.append((time.perf_counter(), self.counted.count))
            if len(starts) == count:
                self.service.clock.skip(TICK_SECONDS)  # the tick's time is up

        self.service.source.on_start = record
        outcome = await self.service.parts.dispatcher.tick()
        assert (outcome, len(starts)) == (Tick.HANDED_OVER, count), (outcome, len(starts))
        while self.service.parts.dispatcher.running:  # noqa: ASYNC110 # no event says that all ends are written
            await asyncio.sleep(0.001)
        return starts

    async def finish(self) -> None:
        """Run a tick that removes the messages of ended ingestions and starts nothing."""
        outcome = await self.service.parts.dispatcher.tick()
        assert outcome is Tick.IDLE, outcome

    def _add(self, kind: str, taken: list[float], calls: float) -> None:
        self.measured.milliseconds[kind].append(spread(taken).middle)
        self.measured.calls[kind].append(calls)


async def _round(benches: Mapping[str, Bench], ticks: int) -> None:
    """Measure some slots of each lane and an idle tick, with each history in turn."""
    without_waiting = {name: bench for name, bench in benches.items() if name != "waiting"}
    for bench in without_waiting.values():
        await bench.idle()
    for lane in (Priority.HIGH, Priority.LOW):
        for name, bench in benches.items():
            if name in without_waiting or lane is Priority.HIGH:
                await bench.accept(3 * (ticks + 2), lane)
            await bench.slots(lane, ticks)
            if name in without_waiting:
                await bench.finish()


@asynccontextmanager
async def _benches(folder: Path) -> AsyncIterator[dict[str, Bench]]:
    with azurite(folder / "tick-0") as one, azurite(folder / "tick-1") as two, azurite(folder / "tick-2") as three:
        benches = {name: Bench(storage) for name, storage in zip(HISTORIES, (one, two, three), strict=True)}
        yield benches
        for bench in benches.values():
            await bench.service.storage.close()


async def measure(
    plan: Plan, folder: Path, then: Callable[[Mapping[str, Bench]], Awaitable[Section]]
) -> tuple[dict[str, Measured], Section]:
    """Measure ticks with all histories, then call `then` with the services on them."""
    async with _benches(folder) as benches:
        size = waiting_size(plan)
        await many(plan.waiting, lambda: benches["waiting"].accept(size, Priority.LOW))
        ended = benches["finished"].service
        await many(plan.whole // ROWS_AT_ONCE, lambda: add_finished(ended))
        await many((plan.finished - plan.whole) // ROWS_AT_ONCE, lambda: add_finished(ended, is_whole=False))
        for name, bench in benches.items():
            await bench.accept(3, Priority.HIGH)
            await bench.start(1)  # from now on, it is the gate's owner
            if name != "waiting":
                await bench.finish()
        for _ in range(plan.rounds):
            await _round(benches, plan.ticks)
        return {name: bench.measured for name, bench in benches.items()}, await then(benches)


def waiting_size(plan: Plan) -> int:
    """The number of IDs with which the first waiting ingestion does not finish before the end of the measurement."""
    return 3 * (plan.rounds * (plan.ticks + 2) + 10)


def section(plan: Plan, found: Mapping[str, Measured]) -> Section:
    """Return the rows and the chart about ticks. `found` has the measurements with each history."""
    rows = [_calls_row(kind, calls, found) for kind, calls in KINDS.items()]
    rows += [_time_row(kind, found["none"]) for kind in KINDS]
    for history, kinds in (("waiting", ("HIGH", "LOW")), ("finished", ("idle", "HIGH", "LOW"))):
        count = plan.waiting if history == "waiting" else plan.finished
        rows += [_history_row(f"{count} {history}", kind, found["none"], found[history]) for kind in kinds]
    bars = [
        Bar(group=_name(kind), kind=f"history: {history}", value=spread(found[history].milliseconds[kind]).middle)
        for kind in KINDS
        for history in HISTORIES
        if found[history].milliseconds[kind]
    ]
    method = METHOD.format(
        interval=INTERVAL, waiting=plan.waiting, size=waiting_size(plan), finished=plan.finished, whole=plan.whole
    )
    return Section(title="Tick", method=method, rows=rows, charts=[Chart(title="One slot", unit="ms", bars=bars)])


def _name(kind: str) -> str:
    return "tick, idle" if kind == "idle" else f"slot, {kind}"


def _calls_row(kind: str, calls: int, found: Mapping[str, Measured]) -> Row:
    seen = [count for measured in found.values() for count in measured.calls[kind]]
    return Row(
        what=f"storage calls, {_name(kind)}",
        measured=f"{number(mean(seen))} (at most {number(max(seen))})",
        goal=str(calls),
        reached=abs(mean(seen) - calls) < 0.1,
    )


def _time_row(kind: str, measured: Measured) -> Row:
    return Row(headline=kind == "HIGH", what=_name(kind), measured=spread(measured.milliseconds[kind]).text("ms"))


def _history_row(history: str, kind: str, without: Measured, measured: Measured) -> Row:
    times = ratios(measured.milliseconds[kind], without.milliseconds[kind])
    limit = ""
    if "waiting" in history:
        limit = (
            "Azurite's peek looks through all messages of all queues: 1.5 ms more for each queue with 1 000 waiting, "
            "30 ms with 10 000. The peek that finds 32 messages takes Azurite 5 ms more than one that finds one, and "
            "the client 1 ms more to parse. A HIGH slot peeks once, a LOW one three times; every other call takes what "
            "it takes without a history."
        )
    return Row(
        what=f"{_name(kind)}, {history}",
        measured=spread(measured.milliseconds[kind]).text("ms"),
        beside=f"{times.text()} x without",
        goal="within 1.2 x",
        reached=times.middle <= 1.2,
        limit=limit,
    )
