"""The process that runs the function app: `func` where a working one is on PATH, else the repository's own emulator."""

import http.client
import json
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from devtools.console import Failure, say, tail
from devtools.ports import LOOPBACK
from devtools.processes import ask_to_end, end_group, how_it_ended, run, spawn
from devtools.workspace import Workspace

PATIENCE_SECONDS = 330
"""For a host that was asked to end: its batch may wait 300 s for the external API, the most that settings allow."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Which host, and why; `func` is the path of Core Tools, or None for the emulator."""

    func: str | None
    why: str


def choose(wanted: str | None, root: Path) -> Choice:
    """The host that was asked for, or the best one present."""
    if wanted == "emulator":
        return Choice(func=None, why="emulator (--host emulator)")
    func = shutil.which("func")
    if func is None:
        why_not = "func is not on PATH"
    else:
        code, output = run([func, "--version"], cwd=root, timeout=30)
        if code == 0:
            return Choice(func=func, why=f"func {tail(output, 1)} ({func})")
        why_not = f"`func --version` fails: {tail(output, 1) or f'exit code {code}'}"
    if wanted == "func":
        raise Failure(f"{why_not}: install Azure Functions Core Tools, or leave --host out to use the emulator")
    return Choice(func=None, why=f"emulator ({why_not})")


class Host:
    """The process, from start to end.

    `settings` are process variables, and win over `local.settings.json`. It inherits `storage_life`, so that storage
    outlives it.
    """

    def __init__(
        self, choice: Choice, workspace: Workspace, *, port: int, settings: Mapping[str, str], storage_life: int
    ) -> None:
        start = [choice.func, "start"] if choice.func else [str(workspace.python), "-m", "emulator"]
        self.port = port
        self.complaint = ""
        self.process = spawn(
            [*start, "--port", str(port)],
            cwd=workspace.root,
            env={**workspace.environment(), **settings},
            stdin=subprocess.DEVNULL,
            keep_open=[storage_life],
            parting=signal.SIGTERM,
        )

    def ended(self) -> str:
        """What happened, if it has ended."""
        code = self.process.poll()
        return "" if code is None else f"The host {how_it_ended(code)}: see its last lines above, then run this again"

    def answers(self) -> bool:
        """Whether `GET /health` is answered; an answer other than 200 is the `complaint`."""
        connection = http.client.HTTPConnection(LOOPBACK, self.port, timeout=5)  # asks no proxy
        try:
            connection.request("GET", "/health")
            answer = connection.getresponse()
            reason = _reason(answer.read())
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
        if answer.status != HTTPStatus.OK:
            self.complaint = f"GET /health answers {answer.status}: {reason or 'see above why'}"
        return True

    def stop(self, impatient: Callable[[], bool]) -> None:
        """Let the batch in flight finish; kill it when that takes too long or the user has lost patience."""
        if self.process.poll() is None:
            say("Stopping: first the batch in flight, then the host, then Azurite (Ctrl-C again kills the host)")
            ask_to_end(self.process)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self.process.poll() is None and time.monotonic() < deadline and not impatient():
            time.sleep(0.05)
        if self.process.poll() is None:
            say("The host has not ended: killed. Its batch is tried again after the next start")
            self.process.kill()
        end_group(self.process)
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=5)


def _reason(body: bytes) -> str:
    """The detail of a problem document, or the first line of whatever it is."""
    with suppress(ValueError):
        document = json.loads(body)
        if isinstance(document, dict) and "detail" in document:
            return str(document["detail"])[:500]
    return body.decode("utf-8", "replace").strip().partition("\n")[0][:200]
