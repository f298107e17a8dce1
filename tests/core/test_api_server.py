import asyncio
import json
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import ClientSession

from tests.core import api_server


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """The file that the program logs to."""
    return tmp_path / "requests.ndjson"


@pytest.fixture
async def url(log: Path) -> AsyncIterator[str]:
    """The URL of a running program."""
    program = await asyncio.create_subprocess_exec(
        sys.executable, api_server.__file__, "--log", str(log), stdout=asyncio.subprocess.PIPE
    )
    assert program.stdout is not None
    yield (await program.stdout.readline()).decode().strip()
    program.send_signal(signal.SIGTERM)
    assert await program.wait() == 0


def lines_of(log: Path) -> list[dict[str, float]]:
    """What the program has noted so far."""
    return [json.loads(line) for line in log.read_text(encoding="ascii").splitlines()]


async def test_as_a_program_it_logs_each_request_and_changes_on_demand(url: str, log: Path) -> None:
    """What end-to-end tests rely on: per-ID and global behaviour, a count, one log line per request."""
    seen = []
    started = time.monotonic()
    async with ClientSession() as client:

        async def ask(item_id: int) -> None:
            async with client.get(f"{url}/items/{item_id}") as response:
                seen.append((item_id, response.status, response.headers.get("Retry-After")))

        await ask(1)
        await client.put(f"{url}/behaviour", json={"status": 429, "headers": {"Retry-After": "2"}, "times": 1})
        await client.put(f"{url}/behaviour/7", json={"status": 404})
        for item_id in (7, 1, 1):
            await ask(item_id)
        await client.delete(f"{url}/behaviour")
        await ask(7)
    assert seen == [(1, 200, None), (7, 404, None), (1, 429, "2"), (1, 200, None), (7, 200, None)]
    lines = lines_of(log)
    assert [line["id"] for line in lines] == [1, 7, 1, 1, 7]
    times = [line["monotonic"] for line in lines]
    assert times == sorted(times)
    assert started <= times[0]
    assert times[-1] <= time.monotonic()
    assert abs(lines[-1]["wall"] - time.time()) < 60
