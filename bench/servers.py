"""Starts what is measured as processes on free loopback ports: Functions hosts and the in-memory reference."""

import http.client
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from devtools.azurite import ROOT
from devtools.child import Child, wait_until
from devtools.ports import free_ports
from tests.support.hosts import call

OURS = ROOT
PLAIN = ROOT / "bench" / "plain_app"
EMPTY = ROOT / "bench" / "empty_app"


@dataclass(frozen=True, kw_only=True)
class Server:
    """A running server. `ready_seconds` is the time from its start to its first answer."""

    url: str
    pid: int
    ready_seconds: float


@contextmanager
def host(kind: str, app: Path, folder: Path, **settings: str) -> Iterator[Server]:
    """A function app under a Functions host, `emulator` or `func`; every app here answers `GET /health`."""
    (port,) = free_ports(1)
    if kind == "emulator":
        command = [sys.executable, "-m", "emulator", str(app), "--port", str(port)]
    else:
        command = [shutil.which("func") or "func", "start", "--port", str(port)]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = {"PATH": path, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **settings}
    with _server(command, port, folder, cwd=ROOT if kind == "emulator" else app, env=env) as server:
        yield server


@contextmanager
def memory_reference(folder: Path) -> Iterator[Server]:
    """FastAPI and a priority queue in memory, under uvicorn."""
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "uvicorn", "bench.reference:app", "--port", str(port)]
    with _server(command, port, folder, cwd=ROOT, env={}) as server:
        yield server


@contextmanager
def _server(command: Sequence[str], port: int, folder: Path, *, cwd: Path, env: Mapping[str, str]) -> Iterator[Server]:
    began = time.perf_counter()
    process = Child(command, log=folder / f"server-{port}.log", cwd=cwd, env=env)
    try:
        wait_until(lambda: not process.running() or answers(port), seconds=90, what=f"{' '.join(command)} answers")
        ready_seconds = time.perf_counter() - began
        assert process.running(), process.output()
        yield Server(url=f"http://127.0.0.1:{port}", pid=process.pid, ready_seconds=ready_seconds)
    finally:
        process.stop()


def answers(port: int) -> bool:
    """Whether `GET /health` is answered with 200."""
    try:
        return call(port, "GET", "/health", timeout=5).status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False


def megabytes(pid: int) -> float:
    """Resident memory of a process and of all processes that it has started."""
    listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,rss="], capture_output=True, text=True, check=True)
    processes = [tuple(map(int, line.split())) for line in listed.stdout.splitlines()]
    family = {pid}
    while more := {child for child, parent, _ in processes if parent in family and child not in family}:
        family |= more
    return sum(kilobytes for process, _, kilobytes in processes if process in family) / 1024
