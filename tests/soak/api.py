"""The external API as a process: it notes when each request arrived, for which ID, and from which host's process."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from devtools.azurite import ROOT
from devtools.child import Child, wait_until
from devtools.ports import free_ports, listening
from tests.support.hosts import call


@dataclass(frozen=True, kw_only=True)
class Arrival:
    """A request at the API; `at` is the monotonic clock, which all processes of one machine share."""

    item_id: int
    process: str
    at: float
    wall: float
    authorization: str = ""


class Api:
    """An API that can be stopped, and started again at the same address. Its URL names the process that uses it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        (self.port,) = free_ports(1)
        self._requests = folder / f"api-{self.port}.ndjson"
        self._requests.touch()
        self._arrivals: list[Arrival] = []
        self._read = 0
        self._lock = Lock()
        self._process: Child | None = None

    def start(self) -> None:
        """Start it and wait until it listens."""
        program = [sys.executable, str(ROOT / "tests" / "core" / "api_server.py")]
        command = [*program, "--port", str(self.port), "--log", str(self._requests)]
        self._process = Child(command, log=self._folder / "api.log", cwd=ROOT)
        wait_until(lambda: listening(self.port), seconds=30, what="the API listens")

    def url(self, process: str) -> str:
        """The URL template for one process."""
        return f"http://127.0.0.1:{self.port}/{process}/items/{{id}}"

    def behave(self, item_id: int | None = None, **behaviour: object) -> None:
        """Answer like this from now on (the fields of `api_server.Behaviour`), for one ID or for all others."""
        path = "/behaviour" if item_id is None else f"/behaviour/{item_id}"
        assert call(self.port, "PUT", path, behaviour).status == 204

    def arrivals(self) -> list[Arrival]:
        """Every request so far, in the order in which they came."""
        with self._lock:
            with self._requests.open("rb") as log:
                log.seek(self._read)
                text = log.read()
            whole = text[: text.rfind(b"\n") + 1]
            self._read += len(whole)
            self._arrivals += map(_arrival, whole.splitlines())
            return list(self._arrivals)

    def stop(self) -> None:
        """End it."""
        if self._process:
            self._process.stop()


@contextmanager
def running_api(folder: Path) -> Iterator[Api]:
    """A running API, which is gone afterwards whatever happens."""
    one = Api(folder)
    try:
        one.start()
        yield one
    finally:
        one.stop()


def _arrival(line: bytes) -> Arrival:
    fields = json.loads(line)
    process = fields["target"].split("/")[1]
    return Arrival(
        item_id=fields["id"],
        process=process,
        at=fields["monotonic"],
        wall=fields["wall"],
        authorization=fields["authorization"],
    )
