"""Starts emulators as processes, each with its own folders, and writes apps for them."""

import contextlib
import http.client
import json
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from devtools.azurite import ROOT
from devtools.child import Child, wait_until
from devtools.ports import free_ports

RECORDED = Path(__file__).parent / "recorded"
JSON = {"Content-Type": "application/json"}

HELLO = '@app.route(route="hello", auth_level="anonymous")\ndef hello(req): return "hello"\n'
NOTE = """
def note(what):
    with open("notes", "a") as file:
        file.write(json.dumps([what, time.time()]) + "\\n")
"""


def make_app(folder: Path, source: str, *, settings: Mapping[str, str] = {}, host: Mapping[str, object] = {}) -> Path:
    """Write a function app. Its module has the usual imports and `note`, which appends a line to a file."""
    folder.mkdir(parents=True)
    values = {"IsEncrypted": False, "Values": {"FUNCTIONS_WORKER_RUNTIME": "python", **settings}}
    (folder / "local.settings.json").write_text(json.dumps(values))
    (folder / "host.json").write_text(json.dumps({"version": "2.0", **host}))
    head = "import azure.functions as func\nimport asyncio, json, logging, os, time\nfrom pathlib import Path\n"
    (folder / "function_app.py").write_text(f"{head}{NOTE}app = func.FunctionApp()\n{source}")
    return folder


def moments(app: Path) -> list[tuple[str, float]]:
    """What the functions of an app have noted, and when."""
    file = app / "notes"
    return [(what, when) for what, when in map(json.loads, file.read_text().splitlines())] if file.exists() else []


def notes(app: Path) -> list[object]:
    """What the functions of an app have noted, in order."""
    return [what for what, _ in moments(app)]


def noted(app: Path, what: str) -> Callable[[], bool]:
    """A condition: the app's functions have noted this."""
    return lambda: what in notes(app)


class Emulator:
    """A running emulator; its temporary folder is beside the app."""

    def __init__(
        self, app: Path, *, port: int | None = None, env: Mapping[str, str] = {}, arguments: Sequence[str] = ()
    ) -> None:
        self.app = app
        self.port = port or free_ports(1)[0]
        self.temporary = app.parent / "tmp"
        self.temporary.mkdir(exist_ok=True)
        command = [sys.executable, "-m", "emulator", str(app), "--port", str(self.port), *arguments]
        environment = {"TMPDIR": str(self.temporary), "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **env}
        log = app.parent / "emulator.log"
        self._before = log.stat().st_size if log.exists() else 0
        self.process = Child(command, log=log, cwd=app.parent, env=environment)

    def wait(self) -> "Emulator":
        """Wait until it serves."""
        self.wait_for_log("listening on", seconds=30)
        assert self.process.running(), self.log
        return self

    def wait_for_log(self, text: str, *, seconds: float = 10) -> None:
        """Wait until it has printed the text, or has ended."""
        wait_until(lambda: text in self.log or not self.process.running(), seconds=seconds, what=f"it prints {text}")
        assert text in self.log, self.log

    @property
    def log(self) -> str:
        """What this emulator has printed, without the output of an earlier emulator in the same file."""
        return self.process.output()[self._before :]

    def ask(self, method: str, path: str, body: str | None = None, **headers: str) -> tuple[int, str]:
        """Send a request; return status and body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        with contextlib.closing(connection):
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return response.status, response.read().decode()

    def run(self, function: str) -> int:
        """Run a timer function by hand; return the status of the answer."""
        return self.ask("POST", f"/admin/functions/{function}", "{}", **JSON)[0]


@contextlib.contextmanager
def emulator(app: Path, *arguments: str, env: Mapping[str, str] = {}, port: int | None = None) -> Iterator[Emulator]:
    """Serve the app until the test has ended."""
    running = Emulator(app, arguments=arguments, env=env, port=port)
    try:
        yield running.wait()
    finally:
        running.process.kill()


def recorded_app(folder: Path) -> Path:
    """Copy the recorded app, which writes into its folder."""
    return Path(shutil.copytree(RECORDED / "app", folder / "app"))
