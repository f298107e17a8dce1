"""How exactly batches start: the gaps between starts, as the records have them and as the API sees them."""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path

from bench.plan import Plan
from bench.report import Bar, Chart, Row, Section
from bench.servers import OURS, host
from bench.stats import spread
from tests.support.hosts import call
from tests.support.processes import azurite

METHOD = """\
One ingestion, interval 1 s, timer every second, an HTTP source on loopback; {count} consecutive gaps. *By the records*:
differences of `triggered_at` (microseconds, read just after the start). *At the API*: differences of the moments at
which the first connection of a batch is accepted, which adds the jitter of connections and of another process. In
a quick run, all of it runs beside the other measurements."""

INTERVAL = 1.0
EDGES_MS = (0.0, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0)


@dataclass(frozen=True, kw_only=True)
class Starts:
    """Moments in seconds, in order."""

    recorded: Sequence[float]
    arrived: Sequence[float]


class Api:
    """An external API that notes when each batch first knocks."""

    def __init__(self) -> None:
        self.arrivals: dict[int, float] = {}

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request and close."""
        now = time.perf_counter()
        request = await reader.readuntil(b"\r\n\r\n")
        found = re.match(rb"GET /items/(\d+) ", request)
        item_id = int(found[1]) if found else 0
        self.arrivals.setdefault((item_id - 1) // 3, now)
        body = json.dumps({"id": item_id}).encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        writer.write(head.encode() + b"Connection: close\r\n\r\n" + body)
        await writer.drain()
        writer.close()


@asynccontextmanager
async def _api() -> AsyncIterator[tuple[Api, int]]:
    api = Api()
    server = await asyncio.start_server(api.answer, "127.0.0.1", 0)
    async with server:
        yield api, server.sockets[0].getsockname()[1]


def measure(plan: Plan, kind: str, folder: Path) -> Section:
    """Slots on one kind of host."""
    return section(kind, asyncio.run(starts(plan, kind, folder)))


async def starts(plan: Plan, kind: str, folder: Path) -> Starts:
    """Run so many batches, and collect when they started."""
    with azurite(folder / f"slots-{kind}") as storage:
        async with _api() as (api, port):
            settings = {
                "AzureWebJobsStorage": storage.connection_string,
                "INGEST_SCHEDULE": "*/1 * * * * *",
                "INGEST_INTERVAL_SECONDS": str(INTERVAL),
                "INGEST_SOURCE": "http",
                "INGEST_SOURCE_URL": f"http://127.0.0.1:{port}/items/{{id}}",
            }
            with host(kind, OURS, folder, **settings) as server:
                recorded = await asyncio.to_thread(_run, int(server.url.rpartition(":")[2]), plan.slots + 1)
            return Starts(recorded=recorded, arrived=sorted(api.arrivals.values()))


def _run(port: int, batches: int) -> list[float]:
    body = {"ids": list(range(1, 3 * batches + 1)), "priority": "HIGH"}
    ingestion_id = call(port, "POST", "/ingest", body).json["ingestion_id"]
    deadline = time.monotonic() + 3 * batches + 30
    time.sleep(batches * INTERVAL)
    while call(port, "GET", f"/status/{ingestion_id}").json["status"] != "completed":
        assert time.monotonic() < deadline, "the batches are not completed in time"
        time.sleep(0.2)
    records = call(port, "GET", f"/status/{ingestion_id}/batches?limit=1000").json["batches"]
    return sorted(datetime.fromisoformat(record["triggered_at"]).timestamp() for record in records)


def section(kind: str, starts: Starts) -> Section:
    """All of it, as rows and a chart."""
    gaps, seen = _gaps(starts.recorded), _gaps(starts.arrived)
    used = INTERVAL * len(gaps) / sum(gaps)
    below = sum(gap < INTERVAL for gap in gaps)
    rows = [
        Row(
            headline=True,
            what=f"smallest of {len(gaps)} gaps, by the records, {kind}",
            measured=f"{min(gaps):.5f} s ({below} below)",
            beside=f"median {spread(gaps).middle:.5f}, longest {max(gaps):.5f}",
            goal=f"none below {INTERVAL:g} s",
            reached=below == 0,
        ),
        Row(
            headline=True,
            what=f"interval x batches / elapsed, {kind}",
            measured=f"{used:.2%}",
            goal="at least 99.5 %",
            reached=used >= 0.995,
            limit="the event loop wakes about a millisecond late, and each start counts from the one before.",
        ),
        Row(
            what=f"gaps at the API, {kind}",
            measured=f"{min(seen):.5f} to {max(seen):.5f} s",
            beside=f"median {spread(seen).middle:.5f}",
            limit="the way to the API takes its time, which is not always the same: a gap that was right when it was "
            "sent may arrive a little shorter or longer.",
        ),
    ]
    chart = Chart(title=f"Gaps between starts, {kind}", unit="count", bars=_histogram(gaps))
    return Section(title=f"Slots ({kind})", method=METHOD.format(count=len(gaps)), rows=rows, charts=[chart])


def _gaps(moments: Sequence[float]) -> list[float]:
    return [later - earlier for earlier, later in pairwise(moments)]


def _histogram(gaps: Sequence[float]) -> list[Bar]:
    over = [(gap - INTERVAL) * 1000 for gap in gaps]
    edges = (float("-inf"), *EDGES_MS, float("inf"))
    names = ["too short", *(f"{low:g} to {high:g} ms late" for low, high in pairwise(EDGES_MS)), "later"]
    return [
        Bar(group=name, kind="", value=sum(low <= gap < high for gap in over))
        for name, (low, high) in zip(names, pairwise(edges), strict=True)
    ]
