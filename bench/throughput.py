"""Measures memory, and requests per second in comparison with an empty function and with the storage calls alone."""

import json
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from uuid import UUID

from bench.load import Generator, Load
from bench.plan import Plan
from bench.report import Bar, Chart, Row, Section
from bench.servers import EMPTY, OURS, host, megabytes, memory_reference
from bench.stats import number, spread
from devtools.azurite import Azurite, azurite

METHOD = """\
Three IDs per POST, and the status of such an ingestion per GET, at 1, 8 and 32 connections; what is compared takes
turns of {seconds} s. *Empty* is a function on the same host that reads the body and answers; *bare* is the three
storage calls (one for a GET) made by the service's own adapter from the load generator's process, without a host.
*Recorded* is a small function under the Azure Functions host 4.1037, recorded 2026-11-23 on two cores. Memory is
resident memory, child processes included, on a fresh host and a fresh Azurite, after {memory} ingestions of three
IDs."""

CONNECTIONS = (1, 8, 32)
RECORDED = {1: 1_200, 8: 2_500, 32: 2_800}
LIMITS = {
    "POST": "processor time: of the host's process, most of it in the two storage clients and aiohttp, and of "
    "Azurite's one thread, which the load generator's process joins on two cores.",
    "GET": "processor time. A GET takes 0.9 ms of the host's process (0.1 ms of it in ingest_core) and 0.35 ms of "
    "Azurite's.",
}

Job = Callable[..., Load]
Rates = dict[tuple[str, str, int], list[float]]


def measure(plan: Plan, kind: str, load: Generator, folder: Path) -> Section:
    """Measure rates and memory on one kind of host."""
    with ExitStack() as running:
        mine, others = (running.enter_context(azurite(folder / f"rate-{kind}-{name}")) for name in ("ours", "bare"))
        ours = running.enter_context(host(kind, OURS, folder, AzureWebJobsStorage=mine.connection_string)).url
        empty = running.enter_context(host(kind, EMPTY, folder, AzureWebJobsStorage=others.connection_string)).url
        rates = _rates(plan, load, ours=ours, empty=empty, bare=others)
    rows = [_rate_row(kind, rates, method, count) for method in ("POST", "GET") for count in CONNECTIONS]
    rows += _memory(plan, kind, load, folder)
    bars = [
        Bar(group=f"{method}, {_connections(count)}", kind=name, value=spread(rates[name, method, count]).middle)
        for method in ("POST", "GET")
        for count in CONNECTIONS
        for name in ("ours", "empty", "bare")
    ]
    return Section(
        title=f"Throughput ({kind})",
        method=METHOD.format(seconds=plan.seconds, memory=plan.memory),
        rows=rows,
        charts=[Chart(title=f"Requests per second, {kind}", unit="1/s", bars=bars)],
    )


def _rates(plan: Plan, load: Generator, *, ours: str, empty: str, bare: Azurite) -> Rates:
    ingestion_id = UUID(json.loads(load.post(ours, 3, priority="LOW", count=5).last)["ingestion_id"])
    status = f"/status/{ingestion_id}"
    jobs: dict[tuple[str, str], Job] = {
        ("ours", "POST"): lambda **amount: load.post(ours, 3, priority="LOW", **amount),
        ("empty", "POST"): lambda **amount: load.post(empty, 3, priority="LOW", **amount),
        ("bare", "POST"): lambda **amount: load.bare("post", bare.connection_string, **amount),
        ("ours", "GET"): lambda **amount: load.get(f"{ours}{status}", **amount),
        ("empty", "GET"): lambda **amount: load.get(f"{empty}{status}", **amount),
        ("bare", "GET"): lambda **amount: load.bare("get", bare.connection_string, **amount),
    }
    rates: Rates = {}
    for _ in range(min(plan.rounds, 3)):
        for count in CONNECTIONS:
            for (name, method), job in jobs.items():
                rate = job(connections=count, seconds=plan.seconds).per_second
                rates.setdefault((name, method, count), []).append(rate)
    return rates


def _connections(count: int) -> str:
    return "1 connection" if count == 1 else f"{count} connections"


def _rate_row(kind: str, rates: Rates, method: str, count: int) -> Row:
    def text(name: str) -> str:
        return spread(rates[name, method, count]).text()

    return Row(
        what=f"{method} per second, {_connections(count)}, {kind}",
        measured=text("ours"),
        beside=f"empty {text('empty')}, bare {text('bare')}, recorded {number(RECORDED[count])}",
        limit=LIMITS[method],
    )


def _memory(plan: Plan, kind: str, load: Generator, folder: Path) -> list[Row]:
    with (
        azurite(folder / f"memory-{kind}") as storage,
        host(kind, OURS, folder, AzureWebJobsStorage=storage.connection_string) as ours,
        memory_reference(folder) as reference,
    ):
        assert storage.child
        pids = {f"{kind} with the app": ours.pid, "Azurite": storage.child.pid, "the in-memory one": reference.pid}
        load.post(ours.url, 3, count=5)
        load.post(reference.url, 3, count=5)
        before = {name: megabytes(pid) for name, pid in pids.items()}
        for url in (ours.url, reference.url):
            remaining = plan.memory
            while remaining > 0:
                remaining -= len(load.post(url, 3, priority="LOW", connections=8, count=remaining).milliseconds)
        return [_memory_row(plan, name, before[name], megabytes(pid)) for name, pid in pids.items()]


def _memory_row(plan: Plan, name: str, before: float, after: float) -> Row:
    return Row(
        what=f"memory after {plan.memory} ingestions, {name}",
        measured=f"{number(after)} MB",
        beside=f"{number(before)} MB before",
    )
