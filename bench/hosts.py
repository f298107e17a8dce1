"""Measures a host without the service: its start, its cost per request, and its cost per byte."""

from collections.abc import Callable
from pathlib import Path

from bench.load import Generator
from bench.plan import Plan
from bench.report import Row, Section
from bench.servers import EMPTY, OURS, host, megabytes
from bench.stats import spread
from devtools.azurite import Azurite, azurite

METHOD = """\
Functions that do nothing (`bench/empty_app`), one connection; a start is from the process to the first answer of
`GET /health`, on an Azurite that runs already. *Recorded* is the Azure Functions host 4.1037, recorded 2026-11-23 on
two cores: the reference, on another machine and at another time."""

RECORDED = "recorded"
Call = Callable[[], list[float]]


def measure(plan: Plan, kind: str, load: Generator, folder: Path) -> Section:
    """Measure one kind of host."""
    with azurite(folder / f"host-{kind}") as storage:
        starts = {
            name: _starts(plan, kind, app, storage, folder) for name, app in (("an empty app", EMPTY), ("ours", OURS))
        }
        with host(kind, EMPTY, folder, AzureWebJobsStorage=storage.connection_string) as server:
            url = server.url
            calls: dict[str, tuple[Call, str]] = {
                "call of an empty function": (lambda: load.get(f"{url}/status/x", count=50).milliseconds, "1.0 ms"),
                "request body of 790 kB": (lambda: load.send(f"{url}/ingest", 790_000, count=3).milliseconds, "9 ms"),
                "request body of 5 MB": (lambda: load.send(f"{url}/ingest", 5_000_000, count=1).milliseconds, "42 ms"),
                "response body of 3.2 MB": (lambda: load.get(f"{url}/large", count=3).milliseconds, "16 ms"),
            }
            for call, _recorded in calls.values():
                call()  # warms up
            taken: dict[str, list[float]] = {name: [] for name in calls}
            for _ in range(plan.rounds):
                for name, (call, _recorded) in calls.items():
                    taken[name] += call()
            memory = megabytes(server.pid)
    rows = [
        Row(
            what=f"start to first answer, {name}, {kind}",
            measured=spread(seconds).text("s"),
            beside=f"{RECORDED} 2.3-2.8 s" if name != "ours" else "",
        )
        for name, seconds in starts.items()
    ]
    rows += [
        Row(what=f"{name}, {kind}", measured=spread(taken[name]).text("ms"), beside=f"{RECORDED} {recorded}")
        for name, (_, recorded) in calls.items()
    ]
    memory_row = Row(
        what=f"memory, {kind}", measured=f"{memory:.0f} MB", beside=f"{RECORDED} host 222 MB, worker 55 MB"
    )
    return Section(title=f"Host ({kind})", method=METHOD, rows=[*rows, memory_row])


def _starts(plan: Plan, kind: str, app: Path, storage: Azurite, folder: Path) -> list[float]:
    taken = []
    for _ in range(min(plan.rounds, 5)):
        with host(kind, app, folder, AzureWebJobsStorage=storage.connection_string) as server:
            taken.append(server.ready_seconds)
    return taken
