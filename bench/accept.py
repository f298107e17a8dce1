"""Measures accepting: over HTTP in comparison with two other designs, at the function, and behind a large list."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.bodies import body_of, ids_of
from bench.counting import Calls
from bench.load import Generator
from bench.plain_app.plain import PlainDesign
from bench.plan import SIZES, Plan
from bench.report import Bar, Chart, Row, Section
from bench.servers import OURS, host
from bench.service import service_on
from bench.stats import Spread, extrapolated, ratios, spread
from devtools.azurite import Azurite, azurite
from ingest_core.api import handlers as api

METHOD = """\
`POST /ingest`, one connection, IDs drawn from the whole range. Each design has a fresh Azurite (the in-memory one
needs none) and runs beside the others, which idle; the designs take turns, size by size, round by round. Medians, with
quartiles in brackets. *Plain* is `bench/plain_app`: one row and one message per batch, rows in transactions of 100,
messages sixteen at a time, on the same host; beyond {largest_plain} IDs it is extrapolated in a straight line and
marked with `~`. *Memory* is `bench/reference.py`: FastAPI, a priority queue, one UUID per batch, a dictionary, under
uvicorn. "At the function" is the handler called in-process, on a real Azurite, with calls counted as they leave the SDK
(retries included)."""

Times = dict[int, list[float]]


@dataclass(frozen=True, kw_only=True)
class Designs:
    """The URL of each design."""

    ours: str
    plain: str
    memory: str


@dataclass(frozen=True, kw_only=True)
class AtTheFunction:
    """Milliseconds by size, and the number of storage calls by size."""

    ours: Times
    calls: Mapping[int, int]
    plain_calls: Mapping[int, int]


def measure_http(plan: Plan, load: Generator, designs: Designs) -> dict[str, Times]:
    """Median milliseconds of each round, by design and size."""
    times: dict[str, Times] = {"ours": {}, "plain": {}, "memory": {}}
    for size in SIZES:
        for url in (designs.ours, designs.memory):
            load.post(url, size, count=2)  # warms up
    load.post(designs.plain, 3, count=5)
    for _ in range(plan.rounds):
        for size in SIZES:
            count = plan.calls if size <= 3_000 else 3
            for name, url in (("ours", designs.ours), ("plain", designs.plain), ("memory", designs.memory)):
                if name != "plain" or size in plan.plain_sizes:
                    amount = count if name != "plain" or size == 3 else 1
                    taken = load.post(url, size, count=amount).milliseconds
                    times[name].setdefault(size, []).append(spread(taken).middle)
    return times


def measure_overtaking(plan: Plan, kind: str, load: Generator, folder: Path) -> dict[str, list[float]]:
    """Send small requests alone and during large requests, to an Azurite with few rows, which it saves quickly."""
    with (
        azurite(folder / f"overtaking-{kind}") as storage,
        host(kind, OURS, folder, AzureWebJobsStorage=storage.connection_string) as server,
    ):
        load.post(server.url, 3, count=5)
        return load.overtake(server.url, rounds=plan.rounds * 4)


async def measure_function(plan: Plan, folder: Path) -> AtTheFunction:
    """Call the handler itself, with the sizes in turn, and count the storage calls of both designs."""
    counted = Calls()
    times: Times = {size: [] for size in SIZES}
    calls: dict[int, int] = {}
    with azurite(folder / "function") as storage:
        service = service_on(storage.connection_string, transport=counted.transport)
        for round_number in range(plan.rounds * 4 + 3):
            for size in SIZES:
                request, before = api.Request(method="POST", body=body_of(size)), counted.count
                began = time.perf_counter()
                answer = await api.ingest(service.parts.context, request)
                if round_number >= 3:  # the first rounds warm up
                    times[size].append((time.perf_counter() - began) * 1000)
                    calls[size] = max(calls.get(size, 0), counted.count - before)
                assert answer.status == 202, answer
        await service.storage.close()
        plain_calls = await _count_plain(plan, storage)
    return AtTheFunction(ours=times, calls=calls, plain_calls=plain_calls)


async def _count_plain(plan: Plan, storage: Azurite) -> dict[int, int]:
    counted = Calls()
    calls = {}
    plain = PlainDesign(storage.connection_string, transport=counted.transport)
    await plain.create()
    for size in plan.plain_sizes:
        before = counted.count
        await plain.accept(ids_of(size), "HIGH")
        calls[size] = counted.count - before
    await plain.close()
    return calls


def section(plan: Plan, http: dict[str, Times], function: AtTheFunction, overtaken: dict[str, list[float]]) -> Section:
    """Return the rows and the chart about accepting."""
    medians = {name: {size: spread(times).middle for size, times in by_size.items()} for name, by_size in http.items()}
    rows = [_http_row(http, medians["plain"], size) for size in SIZES]
    rows += [_calls_row(function), _growth_row(function), *_overtaking_rows(overtaken)]
    bars = []
    for size in SIZES:
        plain, is_extrapolated = _plain(medians["plain"], size)
        group = f"{size:,} IDs".replace(",", " ")
        bars += [
            Bar(group=group, kind="ours", value=medians["ours"][size]),
            Bar(group=group, kind="plain", value=plain, note="(extrapolated)" if is_extrapolated else ""),
            Bar(group=group, kind="memory", value=medians["memory"][size]),
        ]
    chart = Chart(title="Accepting a list over HTTP", unit="ms", bars=bars)
    method = METHOD.format(largest_plain=max(plan.plain_sizes))
    return Section(title="Accept", method=method, rows=rows, charts=[chart])


def _plain(medians: Mapping[int, float], size: int) -> tuple[float, bool]:
    """The plain design's milliseconds, and whether they are extrapolated."""
    if size in medians:
        return medians[size], False
    first, last = sorted(medians)[-2:]
    return extrapolated((first, medians[first]), (last, medians[last]), size), True


def _http_row(http: dict[str, Times], plain_medians: Mapping[int, float], size: int) -> Row:
    plain, is_extrapolated = _plain(plain_medians, size)
    times = _approximate(plain) if is_extrapolated else spread(http["plain"][size]).text()
    to_memory = ratios(http["ours"][size], http["memory"][size])
    has_goal = size >= 30_000
    return Row(
        headline=size == SIZES[-1],
        what=f"accept {size} IDs over HTTP",
        measured=spread(http["ours"][size]).text("ms"),
        beside=f"plain {times}, memory {spread(http['memory'][size]).text()}: {to_memory.text()} x memory",
        goal="faster than memory" if has_goal else "",
        reached=to_memory.middle < 1 if has_goal else None,
    )


def _approximate(value: float) -> str:
    return f"~{Spread(middle=value, low=value, high=value).text().split(' (')[0]}"


def _calls_row(function: AtTheFunction) -> Row:
    plain = ", ".join(f"{calls} for {size}" for size, calls in function.plain_calls.items())
    return Row(
        headline=True,
        what="storage calls of one accept",
        measured=", ".join(f"{calls} for {size}" for size, calls in function.calls.items()),
        beside=f"plain {plain}",
        goal="3 at every size",
        reached=set(function.calls.values()) == {3},
    )


def _growth_row(function: AtTheFunction) -> Row:
    growth = ratios(function.ours[99_999], function.ours[3])
    return Row(
        what="accept 99 999 IDs at the function",
        measured=spread(function.ours[99_999]).text("ms"),
        beside=f"3 IDs {spread(function.ours[3]).text()}: {growth.text()} x",
        goal="within 4 x",
        reached=growth.middle <= 4,
        limit="parsing and checking 1.1 MB of JSON in one go takes 5.3 ms on a calm machine, packing and hashing the "
        "IDs 1.2, the insert of 0.5 MB of base64 6; then come the message and the backlog row, at the same time.",
    )


def _overtaking_rows(overtaken: dict[str, list[float]]) -> list[Row]:
    alone = spread(overtaken["alone"])
    more = sorted(taken - alone.middle for taken in overtaken["during"])
    return [
        Row(
            what="3-ID POST during a 99 999-ID POST: longest extra wait",
            measured=f"{more[-1]:.1f} ms (median {spread(more).middle:.1f})",
            beside=f"alone {alone.text()}, longest {max(overtaken['alone']):.1f}; {len(more)} tried of each",
            goal="at most 50 ms more",
            reached=more[-1] <= 50,
            limit="the large request occupies the event loop while its body is received, parsed and encoded, and "
            "then Azurite's only thread during the insert. Azurite also saves its whole table every five seconds, "
            "which delays every request, alone or not, by 0.2 s with 70 such lists in the table. So this runs on its "
            "own Azurite.",
        )
    ]
