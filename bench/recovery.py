"""What upkeep costs with many ingestions open and many ended, and how long it holds up Azurite and with it a slot."""

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
row every few milliseconds: its longest read is how long Azurite answered nobody. Azurite also writes its whole table to
disk within five seconds of a change, at once and for all clients; its longest pause in ten seconds with a change is
shown beside."""

SAVES_WITHIN_SECONDS = 5
"""Azurite saves what has changed this often."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """Milliseconds: of upkeep, of the scans, and of point reads before, during them, and while Azurite saves its table.

    `calls` are the storage calls of each upkeep.
    """

    upkeep: list[float]
    calls: list[int]
    scans: list[float]
    calm: list[float]
    scanning: list[float]
    saving: list[float]


async def measure(plan: Plan, bench: Bench) -> Section:
    """Fill the tables, then look through them."""
    service, upkeep = bench.service, bench.service.parts.upkeep
    have = plan.finished  # each of them has a batch row
    await many(plan.waiting, lambda: bench.accept(3, Priority.LOW))
    await many(max(0, plan.batch_rows - have) // ROWS_AT_ONCE, lambda: add_batch_rows(service.storage))
    saves = plan.name != "quick"  # they take their time
    await asyncio.sleep(2 * SAVES_WITHIN_SECONDS if saves else 0)  # until Azurite has written all of it down
    await upkeep.run()  # the first one scans
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
        await asyncio.sleep(2 * SAVES_WITHIN_SECONDS if saves else 0)
    if not saves:
        saving.clear()
    found = Found(upkeep=taken, calls=calls, scans=scans, calm=calm, scanning=scanning, saving=saving)
    return _section(plan, found)


async def _scan(service: Service) -> None:
    async for one in service.parts.stores.ingestions.open_in_first_format():
        raise AssertionError(f"all of them are of this version, but {one}")


async def _timed(work: Callable[[], Awaitable[object]]) -> float:
    began = time.perf_counter()
    await work()
    return (time.perf_counter() - began) * 1000


@asynccontextmanager
async def _probed(service: Service) -> AsyncIterator[list[float]]:
    """Milliseconds of point reads, one after the other, as long as the block runs."""
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


def _section(plan: Plan, found: Found) -> Section:
    beside = f"a point read {spread(found.calm).text()}, at most {number(max(found.calm))}"
    rows = [
        Row(
            headline=True,
            what=f"upkeep, {plan.waiting} open, {plan.finished} ended",
            measured=spread(found.upkeep).text("ms"),
            beside=f"{number(max(found.calls))} storage calls",
        ),
        Row(what=f"scan of {plan.batch_rows} batch rows", measured=spread(found.scans).text("ms")),
        Row(
            what="longest point read during the scans",
            measured=f"{number(max(found.scanning))} ms",
            beside=beside,
            limit="a slot's preparation begins up to 0.4 s before it is due, so a scan shorter than that delays no "
            "slot; one that is longer than the start budget of 1 s would cost one.",
        ),
    ]
    if found.saving:
        rows.append(
            Row(
                what="longest point read while Azurite saves the table",
                measured=f"{number(max(found.saving))} ms",
                beside=beside,
                limit="Azurite's own: it turns all rows into JSON on its only thread, whoever wrote them. It grows "
                "with the history and can delay a slot by as much; beyond the start budget of 1 s, the slot is lost "
                "(the limit holds all the same).",
            )
        )
    return Section(
        title="Recovery", method=METHOD.format(open=plan.waiting, ended=plan.finished, rows=plan.batch_rows), rows=rows
    )
