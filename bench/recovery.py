"""Measures upkeep with many open and many ended ingestions, and how long Azurite answers no other client meanwhile."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from bench.history import ROWS_AT_ONCE, add_batch_rows, many
from bench.plan import Plan
from bench.report import Row, Section
from bench.service import Service
from bench.stats import number, spread
from bench.tick import Bench
from ingest_core.models import Priority

METHOD = """\
Every ten minutes upkeep reads the backlog, the fronts of the lanes, and some ingestions in turn: here with {open} open
ingestions beside {ended} ended ones. In each process's first run it also looks through the table `ingestions` for what
an earlier version has left open: here through {rows} batch rows. Meanwhile another client of the same Azurite reads one
row every few milliseconds: its longest read shows how long Azurite answered no client. Azurite also writes its whole
table to disk within five seconds of a change, and answers no client meanwhile; the longest pause in ten seconds with a
change is shown beside."""

SAVES_WITHIN_SECONDS = 5
"""Azurite saves changes this often."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Milliseconds of upkeep, of the scans, and of point reads: before the scans, during them, and while Azurite saves.

    `calls` are the storage calls of each run of upkeep.
    """

    upkeep: list[float]
    calls: list[int]
    scans: list[float]
    calm: list[float]
    scanning: list[float]
    saving: list[float]


async def measure(plan: Plan, bench: Bench) -> Section:
    """Fill the tables, then measure upkeep and scans."""
    service, upkeep = bench.service, bench.service.parts.upkeep
    batch_rows_present = plan.finished  # each ended ingestion has one
    await many(plan.waiting, lambda: bench.accept(3, Priority.LOW))
    transactions = max(0, plan.batch_rows - batch_rows_present) // ROWS_AT_ONCE
    await many(transactions, lambda: add_batch_rows(service.storage))
    waits_for_saves = plan.name != "quick"  # saving takes seconds
    await asyncio.sleep(2 * SAVES_WITHIN_SECONDS if waits_for_saves else 0)  # until Azurite has saved all rows
    await upkeep.run()  # only the first run scans
    taken, calls = [], []
    for _ in range(plan.rounds):
        before = bench.counted.count
        taken.append(await _timed(upkeep.run))
        calls.append(bench.counted.count - before)
    async with _probed(service) as calm:
        await asyncio.sleep(0.5)
    async with _probed(service) as scanning:
        scans = [await _timed(lambda: _scan(service)) for _ in range(plan.rounds)]
    async with _probed(service) as saving:
        await add_batch_rows(service.storage)
        await asyncio.sleep(2 * SAVES_WITHIN_SECONDS if waits_for_saves else 0)
    if not waits_for_saves:
        saving.clear()
    measured = Measured(upkeep=taken, calls=calls, scans=scans, calm=calm, scanning=scanning, saving=saving)
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


def _section(plan: Plan, measured: Measured) -> Section:
    beside = f"a point read {spread(measured.calm).text()}, at most {number(max(measured.calm))}"
    rows = [
        Row(
            headline=True,
            what=f"upkeep, {plan.waiting} open, {plan.finished} ended",
            measured=spread(measured.upkeep).text("ms"),
            beside=f"{number(max(measured.calls))} storage calls",
        ),
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
