"""The interface to the load generator, which is its own process, so that its work does not change the measurement."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from devtools.azurite import ROOT


@dataclass(frozen=True, kw_only=True)
class Load:
    """The result of a job: milliseconds of each call, seconds of all calls, and the beginning of the last answer."""

    milliseconds: list[float]
    seconds: float
    last: str

    @property
    def per_second(self) -> float:
        """Calls per second."""
        return len(self.milliseconds) / self.seconds


class Generator:
    """Sends one job after the other to the process and waits for its result."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def post(self, url: str, size: int, *, priority: str = "HIGH", **amount: float) -> Load:
        """`POST /ingest` with `size` IDs; `amount` is `connections`, `count` and `seconds`."""
        return self._load(job="http", method="POST", url=f"{url}/ingest", size=size, priority=priority, **amount)

    def get(self, url: str, **amount: float) -> Load:
        """GET one URL repeatedly."""
        return self._load(job="http", method="GET", url=url, **amount)

    def send(self, url: str, size: int, **amount: float) -> Load:
        """POST `size` bytes repeatedly."""
        return self._load(job="http", method="POST", url=url, bytes=size, **amount)

    def bare(self, what: str, connection_string: str, **amount: float) -> Load:
        """Only the storage calls of a POST or a GET, without a host or a service."""
        return self._load(job="bare", what=what, connection_string=connection_string, **amount)

    def overtake(self, url: str, *, rounds: int) -> dict[str, list[float]]:
        """Send small requests alone and while a large request is in flight; return milliseconds."""
        milliseconds: dict[str, list[float]] = self._do(job="overtake", url=f"{url}/ingest", rounds=rounds)
        return milliseconds

    def _load(self, **job: object) -> Load:
        return Load(**self._do(**job))

    def _do(self, **job: object) -> Any:  # noqa: ANN401 # JSON
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        if "error" in answer:
            raise RuntimeError(f"{job.get('url', job)}: {answer['error']}")
        return answer


@contextmanager
def load_generator() -> Iterator[Generator]:
    """Start the process, and end it afterwards."""
    command = [sys.executable, "-m", "bench.loader"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            yield Generator(process)
        finally:
            process.terminate()
