"""Measures the gaps between starts: how exact they are, and how many slots stay unused with a slow API."""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise, product
from pathlib import Path

from bench.plan import Plan
from bench.report import Bar, Chart, Row, Section
from bench.servers import OURS, host
from bench.stats import spread
from devtools.azurite import azurite
from tests.support.hosts import call

METHOD = """\
One ingestion on a fresh Azurite for each interval and each API: an HTTP source on loopback that answers after so many
intervals; {count} consecutive gaps. The timer fires every second. *By the records*: differences of `triggered_at`
(microseconds, read just after the start). *At the API*: differences of the moments at which the first connection of a
batch is accepted, which adds the jitter of connections and of another process. The share of slots used is interval x
batches / elapsed. In a quick run, all of it runs beside the other measurements."""

INTERVALS = (1.0, 0.2)
"""In seconds."""

SHARE_USED = 0.995
"""The goal for the share of slots that are used. At 0.2 s, starts may be a millisecond late on average."""

API_INTERVALS = (0.05, 1, 3)
"""After how many intervals the API answers."""

EDGES_MS = (0.0, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0)


@dataclass(frozen=True, kw_only=True)
class Case:
    """An interval in seconds, and how many of them the API takes."""

    interval: float
    api_intervals: float

    def __str__(self) -> str:
        """The text for a row of the table."""
        return f"interval {self.interval:g} s, API {self.api_intervals:g} intervals"


CASES = [Case(interval=interval, api_intervals=api) for interval, api in product(INTERVALS, API_INTERVALS)]


@dataclass(frozen=True, kw_only=True)
class Starts:
    """Moments in seconds, in order."""

    recorded: Sequence[float]
    arrived: Sequence[float]


class Api:
    """An external API that answers after some seconds, and records the first connection of each batch."""

    def __init__(self, seconds: float) -> None:
        self.arrivals: dict[int, float] = {}
        self._seconds = seconds

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request and close."""
        now = time.perf_counter()
        request = await reader.readuntil(b"\r\n\r\n")
        path = re.match(rb"GET /items/(\d+) ", request)
        item_id = int(path[1]) if path else 0
        self.arrivals.setdefault((item_id - 1) // 3, now)
        await asyncio.sleep(self._seconds)
        body = json.dumps({"id": item_id}).encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        writer.write(head.encode() + b"Connection: close\r\n\r\n" + body)
        await writer.drain()
        writer.close()


@asynccontextmanager
async def _api(seconds: float) -> AsyncIterator[tuple[Api, int]]:
    api = Api(seconds)
    server = await asyncio.start_server(api.answer, "127.0.0.1", 0)
    async with server:
        yield api, server.sockets[0].getsockname()[1]


def measure(plan: Plan, kind: str, folder: Path) -> Section:
    """Measure all cases on one kind of host."""
    return section(kind, {case: asyncio.run(starts(plan, kind, folder, case)) for case in CASES})


async def starts(plan: Plan, kind: str, folder: Path, case: Case) -> Starts:
    """Run the batches of a case, and collect when they started."""
    with azurite(folder / f"slots-{kind}-{case.interval:g}-{case.api_intervals:g}") as storage:
        async with _api(case.interval * case.api_intervals) as (api, port):
            settings = {
                "AzureWebJobsStorage": storage.connection_string,
                "INGEST_INTERVAL_SECONDS": str(case.interval),
                "INGEST_SOURCE": "http",
                "INGEST_SOURCE_URL": f"http://127.0.0.1:{port}/items/{{id}}",
            }
            with host(kind, OURS, folder, **settings) as server:
                recorded = await asyncio.to_thread(
                    _run, int(server.url.rpartition(":")[2]), plan.slots + 1, case.interval
                )
            return Starts(recorded=recorded, arrived=sorted(api.arrivals.values()))


def _run(port: int, batches: int, interval: float) -> list[float]:
    body = {"ids": list(range(1, 3 * batches + 1)), "priority": "HIGH"}
    ingestion_id = call(port, "POST", "/ingest", body).json["ingestion_id"]
    deadline = time.monotonic() + 3 * batches + 30
    time.sleep(batches * interval)
    while call(port, "GET", f"/status/{ingestion_id}").json["status"] != "completed":
        assert time.monotonic() < deadline, "the batches are not completed in time"
        time.sleep(0.2)
    records = call(port, "GET", f"/status/{ingestion_id}/batches?limit=1000").json["batches"]
    return sorted(datetime.fromisoformat(record["triggered_at"]).timestamp() for record in records)


def section(kind: str, starts_by_case: Mapping[Case, Starts]) -> Section:
    """Return the rows and the charts about slots."""
    rows = [row for case, starts in starts_by_case.items() for row in _rows(kind, case, starts)]
    charts = [
        Chart(title=f"Gaps between starts, {case}, {kind}", unit="count", bars=_histogram(case, starts))
        for case, starts in starts_by_case.items()
        if case.api_intervals == max(API_INTERVALS)
    ]
    count = min(len(_gaps(starts.recorded)) for starts in starts_by_case.values())
    return Section(title=f"Slots ({kind})", method=METHOD.format(count=count), rows=rows, charts=charts)


def _rows(kind: str, case: Case, starts: Starts) -> list[Row]:
    gaps, seen = _gaps(starts.recorded), _gaps(starts.arrived)
    used = case.interval * len(gaps) / sum(gaps)
    below = sum(gap < case.interval for gap in gaps)
    return [
        Row(
            headline=True,
            what=f"smallest of {len(gaps)} gaps, {case}, {kind}",
            measured=f"{min(gaps):.5f} s ({below} below)",
            beside=f"median {spread(gaps).middle:.5f}, longest {max(gaps):.5f}",
            goal=f"none below {case.interval:g} s",
            reached=below == 0,
        ),
        Row(
            headline=True,
            what=f"slots used, {case}, {kind}",
            measured=f"{used:.2%}",
            goal=f"at least {SHARE_USED:.1%}",
            reached=used >= SHARE_USED,
            limit="each start counts from the one before, so that what a start is late is never caught up.",
        ),
        Row(
            what=f"gaps at the API, {case}, {kind}",
            measured=f"{min(seen):.5f} to {max(seen):.5f} s",
            beside=f"median {spread(seen).middle:.5f}",
            limit="the way to the API takes its time, which is not always the same: a gap that was right when it was "
            "sent may arrive a little shorter or longer.",
        ),
    ]


def _gaps(moments: Sequence[float]) -> list[float]:
    return [later - earlier for earlier, later in pairwise(moments)]


def _histogram(case: Case, starts: Starts) -> list[Bar]:
    over = [(gap - case.interval) * 1000 for gap in _gaps(starts.recorded)]
    edges = (float("-inf"), *EDGES_MS, float("inf"))
    names = ["too short", *(f"{low:g} to {high:g} ms late" for low, high in pairwise(EDGES_MS)), "later"]
    return [
        Bar(group=name, kind="", value=sum(low <= gap < high for gap in over))
        for name, (low, high) in zip(names, pairwise(edges), strict=True)
    ]
