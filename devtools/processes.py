"""Starts and ends child processes. A child does not outlive its parent where the system can help.

A terminal sends Ctrl-C to its whole process group at once. Each child that is spawned here is in a group of its own,
so that this signal reaches the parent alone, which then decides who is told what, and when.
"""

# ruff: noqa: S603 - the commands are lists made here, and no shell reads them

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devtools.environment import trusted

PR_SET_PDEATHSIG = 1  # prctl(2)


@dataclass(frozen=True, kw_only=True)
class Done:
    """A program that has run to its end. `code` is -1 when it could not be run at all, or took too long."""

    code: int
    stdout: str
    stderr: str

    @property
    def output(self) -> str:
        """Everything that it printed, to be shown. What is parsed is `stdout` alone: programs warn on the other."""
        return self.stdout + self.stderr


def run(
    command: Sequence[str], *, cwd: Path, env: Mapping[str, str] | None = None, timeout: float | None = None
) -> Done:
    """Run a program to its end. Without `env` it gets what may be inherited."""
    try:
        done = subprocess.run(
            command,
            cwd=cwd,
            env=trusted(os.environ) if env is None else env,
            timeout=timeout,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
            preexec_fn=signalled_with_parent(signal.SIGKILL),
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return Done(code=-1, stdout="", stderr=str(error))
    return Done(code=done.returncode, stdout=done.stdout, stderr=done.stderr)


def spawn(
    command: Sequence[str],
    *,
    keep_open: Sequence[int] = (),
    parting: signal.Signals | None = None,
    **options: Any,  # noqa: ANN401 - what Popen takes
) -> subprocess.Popen[bytes]:
    """Start a process in a group of its own; `options` are those of `Popen`.

    It inherits the descriptors in `keep_open` (not on Windows). If the thread that starts it ends, as when its program
    is killed, it gets the signal `parting` (on Linux).
    """
    if sys.platform == "win32":
        return subprocess.Popen(command, creationflags=subprocess.CREATE_NEW_PROCESS_GROUP, **options)
    options |= {"start_new_session": True, "pass_fds": keep_open, "preexec_fn": signalled_with_parent(parting)}
    return subprocess.Popen(command, **options)


def how_it_ended(code: int) -> str:
    """An exit code in words."""
    return f"was killed (signal {-code})" if code < 0 else f"ended by itself, with exit code {code}"


def ask_to_end(process: subprocess.Popen[bytes], with_signal: signal.Signals = signal.SIGTERM) -> None:
    """Tell this process alone, as gently as the system can."""
    with suppress(ProcessLookupError):
        if sys.platform == "win32":
            process.send_signal(signal.CTRL_BREAK_EVENT)
        else:
            process.send_signal(with_signal)


def signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> bool:
    """Send a signal to the process and to whatever it has started. False when nothing of them is left."""
    if sys.platform == "win32":
        process.kill()
        return False
    process.poll()  # collects it: its group does not end before that
    try:
        os.killpg(process.pid, number)
    except (ProcessLookupError, PermissionError):  # macOS answers EPERM when only zombies are left
        return False
    return True


def group_is_left(process: subprocess.Popen[bytes]) -> bool:
    """Whether the process, or anything that it has started, still runs."""
    if process.poll() is None:
        return True
    with suppress(ProcessLookupError, PermissionError):
        if sys.platform != "win32":
            os.killpg(process.pid, 0)
            return True
    return False


def foreground(command: Sequence[str], *, cwd: Path, env: Mapping[str, str]) -> int:
    """Run with the terminal's input and output; each Ctrl-C or SIGTERM is handed on as one SIGINT. The exit code."""
    process = spawn(command, cwd=cwd, env=env, parting=signal.SIGINT)
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            ask_to_end(process, signal.SIGINT)


class Interrupts:
    """Counts the signals that ask to stop, so that starting and stopping are never cut in the middle."""

    def __init__(self) -> None:
        self.count = 0

    def install(self) -> None:
        """From now on Ctrl-C, SIGTERM and a closed terminal are counted."""
        for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK"):  # the last two: not everywhere
            number = getattr(signal, name, None)
            if number is None or (name == "SIGHUP" and signal.getsignal(number) is signal.SIG_IGN):  # nohup
                continue
            signal.signal(number, self._count)

    def _count(self, _number: int, _frame: object) -> None:
        self.count += 1


def signalled_with_parent(parting: signal.Signals | None) -> Callable[[], None] | None:
    """A `preexec_fn` for `Popen`: when the thread that starts the child ends, the child gets the signal. Linux only."""
    if parting is None or sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl  # looked up here: a child must do as little as possible
    return lambda: prctl(PR_SET_PDEATHSIG, parting)
