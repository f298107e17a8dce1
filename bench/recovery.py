"""Measures upkeep with many open and many ended ingestions, and how long Azurite answers no other client meanwhile."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from bench.history import ROWS_AT_ONCE, add_batch_rows, many
from bench.plan import Plan
from bench.report import Row, Section
from bench.service import Service
from bench.stats import number, ratios, spread
from bench.tick import Bench
from ingest_core.models import Priority

METHOD = """\
Every ten minutes upkeep reads the backlog, the fronts of the lanes, and some ingestions in turn: here with {open}
open ingestions beside {ended} ended ones. Rounds alternate with a second Azurite that has as many open ingestions and
none that have ended. In each process's first run upkeep also looks through the table `ingestions` for what an earlier
version has left open: here through {rows} batch rows. Meanwhile another client of the same Azurite reads one row
every few milliseconds: its longest read shows how long Azurite answered no client. Azurite also writes its whole
table to disk within five seconds of a change, and answers no client meanwhile; the longest pause in ten seconds with
a change is shown beside."""

ACCEPTS = 20
"""Accepted lists of a round; their median counts."""

MOST_RATIO = 1.2
"""Work that no history should slow down may take so many times as long with one."""

SAVES_WITHIN_SECONDS = 5
"""Azurite saves changes this often."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Milliseconds of upkeep, of the scans, and of point reads: before the scans, during them, and while Azurite saves.

    Rounds of upkeep and of accepting alternate between the Azurite with the history and the one without (`…_plain`).
    `calls` are the storage calls of each run of upkeep.
    """

    upkeep: list[float]
    upkeep_plain: list[float]
    accept: list[float]
    accept_plain: list[float]
    calls: list[int]
    scans: list[float]
    calm: list[float]
    scanning: list[float]
    saving: list[float]


async def measure(plan: Plan, benches: Mapping[str, Bench]) -> Section:
    """Fill the tables, then measure upkeep, accepting and scans."""
    bench, plain = benches["finished"], benches["none"]
    service = bench.service
    batch_rows_present = plan.whole  # each ended ingestion that is whole has one
    for one in (bench, plain):
        await many(plan.waiting, lambda: one.accept(3, Priority.LOW))  # noqa: B023 # awaited at once
    transactions = max(0, plan.batch_rows - batch_rows_present) // ROWS_AT_ONCE
    await many(transactions, lambda: add_batch_rows(service.storage))
    settle = 2 * SAVES_WITHIN_SECONDS if plan.name != "quick" else 0  # saving takes seconds
    await asyncio.sleep(settle)  # until Azurite has saved all rows
    upkeep: dict[Bench, list[float]] = {bench: [], plain: []}
    accept: dict[Bench, list[float]] = {bench: [], plain: []}
    calls: list[int] = []
    for one in (bench, plain):
        await one.service.parts.upkeep.run()  # only the first run scans
    await asyncio.sleep(settle)
    for _ in range(plan.rounds):  # these only read, so that Azurite has nothing to save
        for one in (bench, plain):
            before = one.counted.count
            upkeep[one].append(await _timed(one.service.parts.upkeep.run))
            calls.append(one.counted.count - before)
    for _ in range(plan.rounds):
        for one in (bench, plain):
            each = [await _timed(lambda: one.accept(3, Priority.LOW)) for _ in range(ACCEPTS)]  # noqa: B023 # as above
            accept[one].append(spread(each).middle)
    await asyncio.sleep(settle)  # until Azurite has saved what was accepted
    async with _probed(service) as calm:
        await asyncio.sleep(0.5)
    async with _probed(service) as scanning:
        scans = [await _timed(lambda: _scan(service)) for _ in range(plan.rounds)]
    async with _probed(service) as saving:
        await add_batch_rows(service.storage)
        await asyncio.sleep(settle)
    if not settle:
        saving.clear()
    measured = Measured(
        upkeep=upkeep[bench],
        upkeep_plain=upkeep[plain],
        accept=accept[bench],
        accept_plain=accept[plain],
        calls=calls,
        scans=scans,
        calm=calm,
        scanning=scanning,
        saving=saving,
    )
    return _section(plan, measured)


async def _scan(service: Service) -> None:
    async for old in service.parts.stores.ingestions.open_in_first_format():
        raise AssertionError(f"an ingestion of an earlier version: {old}")


async def _timed(work: Callable[[], Awaitable[object]]) -> float:
    began = time.perf_counter()
    await work()
    return (time.perf_counter() - began) * 1000


@asynccontextmanager
async def _probed(service: Service) -> AsyncIterator[list[float]]:
    """Read a row repeatedly while the block runs; the list gets the milliseconds of each read."""
    taken: list[float] = []
    done = asyncio.Event()

    async def probe() -> None:
        while not done.is_set():
            began = time.perf_counter()
            await service.parts.stores.gate.read()
            taken.append((time.perf_counter() - began) * 1000)
            await asyncio.sleep(0.002)

    probing = asyncio.create_task(probe())
    yield taken
    done.set()
    await probing


def _beside_none(plan: Plan, what: str, taken: list[float], plain: list[float], more: str = "") -> Row:
    """What the history costs: the ratio to the same work without one."""
    ratio = ratios(taken, plain)
    return Row(
        headline=True,
        what=f"{what}, {plan.waiting} open, {plan.finished} ended",
        measured=spread(taken).text("ms"),
        beside=f"none ended {spread(plain).text()}: {ratio.text()} x{more}",
        goal=f"at most {MOST_RATIO} x",
        reached=ratio.middle <= MOST_RATIO,
        limit="while Azurite saves all its rows, it answers nobody, for seconds with this history (see below). Upkeep "
        "only reads, so its rounds contain no save; some rounds of accepting may.",
    )


def _section(plan: Plan, measured: Measured) -> Section:
    beside = f"a point read {spread(measured.calm).text()}, at most {number(max(measured.calm))}"
    rows = [
        _beside_none(plan, "upkeep", measured.upkeep, measured.upkeep_plain, f", {number(max(measured.calls))} calls"),
        _beside_none(plan, "accept 3 IDs", measured.accept, measured.accept_plain),
        Row(what=f"scan of {plan.batch_rows} batch rows", measured=spread(measured.scans).text("ms")),
        Row(
            what="longest point read during the scans",
            measured=f"{number(max(measured.scanning))} ms",
            beside=beside,
            limit="a slot's preparation begins up to 0.4 s before it is due, so a scan shorter than that delays no "
            "slot; one that is longer than the start budget of 1 s would cost one.",
        ),
    ]
    if measured.saving:
        rows.append(
            Row(
                what="longest point read while Azurite saves the table",
                measured=f"{number(max(measured.saving))} ms",
                beside=beside,
                limit="Azurite writes all rows as JSON on its only thread. The pause grows with the history and can "
                "delay a slot by as much. If it is longer than the start budget of 1 s, the slot stays unused, and "
                "the rate limit is still kept.",
            )
        )
    return Section(
        title="Recovery", method=METHOD.format(open=plan.waiting, ended=plan.finished, rows=plan.batch_rows), rows=rows
    )
