"""Functions hosts as processes: the emulator always, and Core Tools' `func` where a working one is on PATH."""

import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from devtools.azurite import ROOT
from devtools.child import Child, wait_until
from devtools.ports import free_ports
from tests.support.document import check_reply

START_SECONDS = 90
"""Core Tools may take long on a busy machine."""


@cache
def func_version() -> str | None:
    """The version of a working `func`, or None."""
    path = shutil.which("func")
    if path is None:
        return None
    found = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=60, check=False)
    return found.stdout.strip() if found.returncode == 0 else None


def hosts_present() -> list[str]:
    """The kinds of host that can be started here."""
    return ["emulator", "func"] if func_version() else ["emulator"]


@dataclass(frozen=True, kw_only=True)
class Reply:
    """An HTTP answer. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)


def call(
    port: int,
    method: str,
    path: str,
    body: bytes | str | object = None,
    headers: Mapping[str, str] = {},
    *,
    timeout: float = 30,
) -> Reply:
    """One request to a server on loopback. An iterator is sent in chunks, what is neither text nor bytes as JSON."""
    chunked = isinstance(body, Iterator)
    if body is not None and not isinstance(body, (bytes, str, Iterator)):
        body = json.dumps(body)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        data = body.encode() if isinstance(body, str) else body
        connection.request(method, path, data, dict(headers), encode_chunked=chunked)
        response = connection.getresponse()
        found = {name.lower(): value for name, value in response.getheaders()}
        return Reply(status=response.status, headers=found, body=response.read())
    finally:
        connection.close()


class FunctionHost:
    """The function app under a host of some kind."""

    def __init__(self, kind: str, folder: Path, connection_string: str, *, key: str = "", **settings: str) -> None:
        """With a `key`, which only the emulator takes, functions that are not anonymous want it."""
        self.kind = kind
        self._key = key
        (self.port,) = free_ports(1)
        self.log = folder / f"{kind}-{self.port}.log"
        self._env = {"AzureWebJobsStorage": connection_string, "PYTHONUNBUFFERED": "1", **settings}
        self.process: Child | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        self.launch()
        self.wait_until_it_answers()

    def launch(self) -> None:
        """Start it."""
        commands: dict[str, Sequence[str]] = {
            "emulator": [sys.executable, "-m", "emulator", str(ROOT), "--port", str(self.port), *self._key_option()],
            "func": [shutil.which("func") or "func", "start", "--port", str(self.port)],
        }
        bin_folder = str(Path(sys.executable).parent)
        path = {"PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}"} if self.kind == "func" else {}
        self.process = Child(commands[self.kind], log=self.log, cwd=ROOT, env={**self._env, **path})

    def _key_option(self) -> list[str]:
        return ["--key", self._key] if self._key else []

    def wait_until_it_answers(self) -> None:
        """After `launch`."""
        process = self.process
        assert process is not None
        wait_until(lambda: not process.running() or self.answers(), seconds=START_SECONDS, what="the host answers")
        assert process.running(), process.output()

    def answers(self) -> bool:
        """Whether the app answers, be it with an error."""
        try:
            return call(self.port, "GET", "/health", timeout=5).status in {200, 503}
        except (OSError, http.client.HTTPException):
            return False

    def stop(self) -> None:
        """End it gently."""
        if self.process:
            self.process.stop(60)

    def kill(self) -> None:
        """End it at once."""
        if self.process:
            self.process.kill()

    def freeze(self) -> None:
        """Suspend it as it is, its worker too."""
        if self.process:
            self.process.signal_group(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on from where it was frozen."""
        if self.process:
            self.process.signal_group(signal.SIGCONT)

    def end_orphans(self) -> None:
        """End what a killed host has left behind: under `func`, its worker."""
        if self.process and self.kind == "func":
            self.process.signal_group(signal.SIGKILL)

    def output(self) -> str:
        """Everything that it has logged."""
        return self.process.output() if self.process else ""

    def run(self, function: str) -> None:
        """Run a timer function by hand; it may not have ended when this returns."""
        reply = self.call("POST", f"/admin/functions/{function}", {"input": ""}, {"Content-Type": "application/json"})
        assert reply.status == 202, reply

    def call(self, method: str, path: str, body: bytes | str | object = None, headers: Mapping[str, str] = {}) -> Reply:
        """One request, whose answer must be as documented; for the host's own paths, under /admin, nothing is."""
        reply = call(self.port, method, path, body, headers)
        if not path.startswith("/admin/"):
            check_reply(path, method, status=reply.status, headers=reply.headers, body=reply.body)
        return reply

    def post(self, ids: Sequence[int], priority: str = "HIGH") -> str:
        """Accept an ingestion; return its ID."""
        reply = self.call("POST", "/ingest", {"ids": list(ids), "priority": priority})
        assert reply.status == 202, reply.body
        return str(reply.json["ingestion_id"])

    def status(self, ingestion_id: str) -> dict[str, Any]:
        """What `GET /status` shows."""
        reply = self.call("GET", f"/status/{ingestion_id}")
        assert reply.status == 200, reply.body
        return dict(reply.json)

    def records(self, *ingestion_ids: str) -> list[dict[str, Any]]:
        """All batches of these ingestions in the order in which they were started, with their `ingestion_id`."""
        found = []
        for one in ingestion_ids:
            batches = self.call("GET", f"/status/{one}/batches?limit=1000").json["batches"]
            found += [{**batch, "ingestion_id": one} for batch in batches]
        return sorted(found, key=lambda batch: batch["triggered_at"] or "9")

    def wait_for(self, ingestion_id: str, *statuses: str, seconds: float = 120) -> dict[str, Any]:
        """Wait until an ingestion has one of these statuses; return it."""
        seen: list[dict[str, Any]] = []

        def reached() -> bool:
            seen[:] = [self.status(ingestion_id)]
            return seen[0]["status"] in statuses

        wait_until(reached, seconds=seconds, what=f"{ingestion_id} is {' or '.join(statuses)}")
        return seen[0]
