"""The process that runs the function app: `func` where a working one is on PATH, else the repository's own emulator."""

import http.client
import json
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from devtools.console import Failure, say, tail
from devtools.ports import LOOPBACK
from devtools.processes import ask_to_end, group_is_left, how_it_ended, run, signal_group, spawn
from devtools.relay import Relay
from devtools.workspace import Workspace

STOP_SECONDS = 4
"""How long a host may take to stop. Batches that are in flight after that start again once their lease has ended."""

VERSION = re.compile(r"[4-9]\.\d+\.\d+\S*")  # of Core Tools; older ones do not know this programming model


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The host to run, and the reason. `func` is the path of Core Tools, or None for the emulator."""

    func: str | None
    reason: str


def choose(wanted: str | None, root: Path) -> Choice:
    """The host that the user asked for, else `func` if a working one is on PATH, else the emulator."""
    if wanted == "emulator":
        return Choice(func=None, reason="emulator (--host emulator)")
    func = shutil.which("func")
    version, why_not = ("", "func is not on PATH") if func is None else _version(func, root)
    if func is not None and not why_not:
        return Choice(func=func, reason=f"func {version} ({func})")
    if wanted == "func":
        raise Failure(f"{why_not}: install Azure Functions Core Tools, or leave --host out to use the emulator")
    return Choice(func=None, reason=f"emulator ({why_not})")


def _version(func: str, root: Path) -> tuple[str, str]:
    """The version of Core Tools, or the reason why it cannot be used. Other programs are called `func` too."""
    done = run([func, "--version"], cwd=root, timeout=30)
    if done.code:
        return "", f"`func --version` fails: {tail(done.output, 1) or f'exit code {done.code}'}"
    answer = tail(done.stdout, 1).strip()
    if not VERSION.fullmatch(answer):
        return "", f"{func} is not Azure Functions Core Tools 4, `func --version` says {answer[:60] or 'nothing'!r}"
    return answer, ""


class Host:
    """The host's process.

    `settings` are environment variables and take precedence over `local.settings.json`. The process inherits the
    descriptors in `keep_open`.
    """

    def __init__(
        self,
        choice: Choice,
        workspace: Workspace,
        *,
        port: int,
        settings: Mapping[str, str],
        keep_open: Sequence[int],
    ) -> None:
        start = [choice.func, "start"] if choice.func else [str(workspace.python), "-m", "emulator"]
        self.port = port
        self.health_message = ""
        # SIGINT makes the emulator cancel what is in flight. func is sent SIGTERM, as a deployed host is.
        self._stop_signal = signal.SIGTERM if choice.func else signal.SIGINT
        replaced = {name.lower() for name in settings}
        inherited = {name: value for name, value in workspace.environment().items() if name.lower() not in replaced}
        relay = Relay()
        self.process = spawn(
            [*start, "--port", str(port)],
            cwd=workspace.root,
            env={**inherited, **settings},
            stdin=subprocess.DEVNULL,
            keep_open=keep_open,
            parent_death_signal=self._stop_signal,
            **relay.outputs,
        )
        relay.carry(self.process)

    def end_message(self) -> str:
        """What happened if the host has ended by itself, else an empty text."""
        code = self.process.poll()
        return "" if code is None else f"The host {how_it_ended(code)}: see its last lines above, then run this again"

    def answers(self) -> bool:
        """Whether the host answers `GET /health`. If the answer is not 200, `health_message` says what it was."""
        connection = http.client.HTTPConnection(LOOPBACK, self.port, timeout=5)  # does not use a proxy
        try:
            connection.request("GET", "/health")
            answer = connection.getresponse()
            reason = _reason(answer.read())
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
        if answer.status != HTTPStatus.OK:
            self.health_message = f"GET /health answers {answer.status}: {reason or 'see above why'}"
        return True

    def stop(self, is_impatient: Callable[[], bool]) -> None:
        """End the host within a few seconds, or at once if `is_impatient` says that the user has asked again."""
        if self.process.poll() is None:
            say("Stopping: first the host, then Azurite (Ctrl-C again ends the host at once)")
            ask_to_end(self.process, self._stop_signal)
        deadline = time.monotonic() + STOP_SECONDS
        has_signalled_worker = False
        while group_is_left(self.process) and time.monotonic() < deadline and not is_impatient():
            if self.process.poll() is not None and not has_signalled_worker:  # the host has ended, its worker has not
                has_signalled_worker = signal_group(self.process, signal.SIGTERM)
            time.sleep(0.05)
        if self.process.poll() is None:
            say("The host has not ended and is killed: what it had in flight is started again after the next start")
        signal_group(self.process, signal.SIGKILL)
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=5)


def _reason(body: bytes) -> str:
    """The detail of a problem document. For any other body, its first line."""
    with suppress(ValueError):
        document = json.loads(body)
        if isinstance(document, dict) and "detail" in document:
            return str(document["detail"])[:500]
    return body.decode("utf-8", "replace").strip().partition("\n")[0][:200]
