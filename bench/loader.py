"""The load generator's process. It reads a job from each line, does it, and prints a line with the result.

It calls only loopback addresses, and every job has a time limit.
"""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from functools import cache
from time import perf_counter
from typing import Any
from uuid import uuid4

import aiohttp

from bench.bodies import body_of
from ingest_core.models import Priority
from ingest_core.storage.azure import AzureStorage

MOST_SECONDS = 60.0
HEADERS = {"Content-Type": "application/json"}  # FastAPI needs it
Send = Callable[[], Awaitable[str]]


async def drive(send: Send, *, connections: int, count: int, seconds: float) -> dict[str, object]:
    """Call `send` repeatedly on `connections` connections, until the count or the time is reached."""
    taken: list[float] = []
    last = ""
    remaining = iter(range(count))
    began = perf_counter()

    async def connection() -> None:
        nonlocal last
        for _ in remaining:
            sent = perf_counter()
            if sent - began > seconds:
                return
            last = await send()
            taken.append((perf_counter() - sent) * 1000)

    await asyncio.gather(*(connection() for _ in range(connections)))
    return {"milliseconds": taken, "seconds": perf_counter() - began, "last": last[:1000]}


def amount(job: dict[str, Any]) -> dict[str, Any]:
    """Read from a job how much is to be sent."""
    return {
        "connections": int(job.get("connections", 1)),
        "count": int(job.get("count", 1_000_000)),
        "seconds": min(float(job.get("seconds", MOST_SECONDS)), MOST_SECONDS),
    }


cached_body = cache(body_of)


async def http(session: aiohttp.ClientSession, job: dict[str, Any]) -> dict[str, object]:
    """Send one request repeatedly."""
    data = None
    if job["method"] == "POST":
        data = b"x" * job["bytes"] if "bytes" in job else cached_body(job["size"], job["priority"])
    return await drive(lambda: _exchange(session, job["method"], job["url"], data), **amount(job))


async def _exchange(session: aiohttp.ClientSession, method: str, url: str, data: bytes | None) -> str:
    async with session.request(method, url, data=data, headers=HEADERS) as response:
        body = await response.read()
        if response.status not in (200, 202):
            raise RuntimeError(f"{response.status} {body[:200]!r}")
        return body[:1000].decode(errors="replace")


async def bare(_: aiohttp.ClientSession, job: dict[str, Any]) -> dict[str, object]:
    """Make the storage calls of a request of three IDs with the service's own adapter."""
    storage = AzureStorage(job["connection_string"])
    row: dict[str, str | bytes] = {"PartitionKey": str(uuid4()), "RowKey": "row", "text": "x" * 600, "ids": b"x" * 12}
    await storage.ingestions.insert(row)

    async def post() -> str:
        key = str(uuid4())
        await storage.ingestions.insert({**row, "PartitionKey": key})
        open_row = {"PartitionKey": "open", "RowKey": key, "text": "x" * 300}
        await asyncio.gather(storage.lanes[Priority.LOW].put("x" * 70), storage.backlog.insert(open_row))
        return ""

    async def get() -> str:
        await storage.ingestions.get(str(row["PartitionKey"]), "row")
        return ""

    try:
        return await drive(post if job["what"] == "post" else get, **amount(job))
    finally:
        await storage.close()


async def overtake(session: aiohttp.ClientSession, job: dict[str, Any]) -> dict[str, object]:
    """Send three IDs alone, and then during a request of 99 999 IDs, each time a little later in that request."""
    url, rounds = job["url"], job["rounds"]

    async def timed(size: int) -> float:
        began = perf_counter()
        await _exchange(session, "POST", url, cached_body(size, "HIGH"))
        return (perf_counter() - began) * 1000

    alone, during = [], []
    large = [await timed(99_999) for _ in range(3)]
    for round_number in range(rounds):
        alone.append(await timed(3))
        large_request = asyncio.create_task(timed(99_999))
        await asyncio.sleep(sorted(large)[1] / 1000 * round_number / rounds)
        during.append(await timed(3))
        large.append(await large_request)
    return {"alone": alone, "during": during, "large": large}


JOBS = {"http": http, "bare": bare, "overtake": overtake}


async def main() -> None:
    """Do jobs until the input ends."""
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=3)
    timeout = aiohttp.ClientTimeout(total=MOST_SECONDS)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        while line := await asyncio.to_thread(sys.stdin.readline):
            job = json.loads(line)
            try:
                answer = await JOBS[job["job"]](session, job)
            except Exception as error:  # noqa: BLE001 # every error goes to the process that measures
                answer = {"error": repr(error)}
            print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
