"""Emulators as processes, each in folders of its own."""

import contextlib
import http.client
import json
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from devtools.ports import free_ports
from tests.support.processes import ROOT, Process, wait_until

RECORDED = Path(__file__).parent / "recorded"


def make_app(folder: Path, source: str, *, settings: Mapping[str, str] = {}, host: Mapping[str, object] = {}) -> Path:
    """Write a function app; every module begins with the usual import."""
    folder.mkdir(parents=True)
    values = {"IsEncrypted": False, "Values": {"FUNCTIONS_WORKER_RUNTIME": "python", **settings}}
    (folder / "local.settings.json").write_text(json.dumps(values))
    (folder / "host.json").write_text(json.dumps({"version": "2.0", **host}))
    head = "import azure.functions as func\nimport asyncio, json, os, time\nfrom pathlib import Path\n"
    (folder / "function_app.py").write_text(f"{head}app = func.FunctionApp()\n{source}")
    return folder


class Emulator:
    """A running emulator; its temporary folder is beside the app."""

    def __init__(self, app: Path, *, port: int | None = None, env: Mapping[str, str] = {}) -> None:
        self.app, self.port, self.temporary = app, port or free_ports(1)[0], app.parent / "tmp"
        self.temporary.mkdir(exist_ok=True)
        command = [sys.executable, "-m", "emulator", str(app), "--port", str(self.port)]
        environment = {"TMPDIR": str(self.temporary), "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **env}
        log = app.parent / "emulator.log"
        self._before = log.stat().st_size if log.exists() else 0
        self.process = Process(command, log=log, cwd=app.parent, env=environment)

    def wait(self) -> "Emulator":
        """Wait until it serves."""
        ready = "listening on"
        wait_until(lambda: ready in self.log or not self.process.running(), seconds=30, what=f"the emulator is {ready}")
        assert self.process.running(), self.log
        return self

    @property
    def log(self) -> str:
        """What it has printed, not what one before it has."""
        return self.process.output()[self._before :]

    def ask(self, method: str, path: str, body: str | None = None, **headers: str) -> tuple[int, str]:
        """One request: status and body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        with contextlib.closing(connection):
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return response.status, response.read().decode()


@contextlib.contextmanager
def emulator(app: Path, **options: object) -> Iterator[Emulator]:
    """Serve the app until the test has ended."""
    one = Emulator(app, **options)  # type: ignore[arg-type]
    try:
        yield one.wait()
    finally:
        one.process.stop()


def recorded_app(folder: Path) -> Path:
    """Copy the recorded app, which writes into its folder."""
    return Path(shutil.copytree(RECORDED / "app", folder / "app"))
