"""Starts and ends child processes. On Linux, the system ends a child whose parent has ended.

A terminal sends Ctrl-C to its whole process group at once. Each child that is spawned here is in its own group, so that
only the parent gets the signal. The parent then decides which child to signal, and when.
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

from devtools.environment import inheritable

PR_SET_PDEATHSIG = 1  # prctl(2)


@dataclass(frozen=True, kw_only=True)
class ProgramResult:
    """The result of a program. `code` is -1 if the program could not be started or took too long."""

    code: int
    stdout: str
    stderr: str

    @property
    def output(self) -> str:
        """Everything that it printed, for people. Parse `stdout` instead: programs write warnings to `stderr`."""
        return self.stdout + self.stderr


def run(
    command: Sequence[str], *, cwd: Path, env: Mapping[str, str] | None = None, timeout: float | None = None
) -> ProgramResult:
    """Run a program and wait for its end. Without `env` it gets the variables that may be inherited."""
    try:
        done = subprocess.run(
            command,
            cwd=cwd,
            env=inheritable(os.environ) if env is None else env,
            timeout=timeout,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
            preexec_fn=signalled_with_parent(signal.SIGKILL),
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return ProgramResult(code=-1, stdout="", stderr=str(error))
    return ProgramResult(code=done.returncode, stdout=done.stdout, stderr=done.stderr)


def spawn(
    command: Sequence[str],
    *,
    keep_open: Sequence[int] = (),
    parent_death_signal: signal.Signals | None = None,
    **options: Any,  # noqa: ANN401 - what Popen takes
) -> subprocess.Popen[bytes]:
    """Start a process in its own process group; `options` are those of `Popen`.

    It inherits the descriptors in `keep_open` (not on Windows). On Linux, it gets `parent_death_signal` when the thread
    that started it ends, for example because its program was killed.
    """
    if sys.platform == "win32":
        return subprocess.Popen(command, creationflags=subprocess.CREATE_NEW_PROCESS_GROUP, **options)
    options |= {
        "start_new_session": True,
        "pass_fds": keep_open,
        "preexec_fn": signalled_with_parent(parent_death_signal),
    }
    return subprocess.Popen(command, **options)


def how_it_ended(code: int) -> str:
    """An exit code in words."""
    return f"was killed (signal {-code})" if code < 0 else f"ended by itself, with exit code {code}"


def ask_to_end(process: subprocess.Popen[bytes], with_signal: signal.Signals = signal.SIGTERM) -> None:
    """Send the signal to this process and not to its children. On Windows, send Ctrl-Break."""
    with suppress(ProcessLookupError):
        if sys.platform == "win32":
            process.send_signal(signal.CTRL_BREAK_EVENT)
        else:
            process.send_signal(with_signal)


def signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> bool:
    """Send a signal to the process and to everything that it has started. False if all of them have ended."""
    if sys.platform == "win32":
        process.kill()
        return False
    process.poll()  # reaps the process: until then, its group still exists
    try:
        os.killpg(process.pid, number)
    except (ProcessLookupError, PermissionError):  # macOS answers EPERM when only zombies are left
        return False
    return True


def group_is_left(process: subprocess.Popen[bytes]) -> bool:
    """Whether the process or anything that it has started still runs."""
    if process.poll() is None:
        return True
    with suppress(ProcessLookupError, PermissionError):
        if sys.platform != "win32":
            os.killpg(process.pid, 0)
            return True
    return False


def foreground(command: Sequence[str], *, cwd: Path, env: Mapping[str, str]) -> int:
    """Run on the terminal and return the exit code. Each Ctrl-C or SIGTERM is passed on as a SIGINT."""
    process = spawn(command, cwd=cwd, env=env, parent_death_signal=signal.SIGINT)
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            ask_to_end(process, signal.SIGINT)


class Interrupts:
    """Counts the signals that ask to stop, instead of interrupting the code that runs."""

    def __init__(self) -> None:
        self.count = 0

    def install(self) -> None:
        """Count Ctrl-C, SIGTERM and a closed terminal from now on."""
        for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK"):
            number = getattr(signal, name, None)
            if number is None:  # some systems lack SIGHUP or SIGBREAK
                continue
            is_ignored = name == "SIGHUP" and signal.getsignal(number) is signal.SIG_IGN  # nohup does this
            if not is_ignored:
                signal.signal(number, self._count)

    def _count(self, _number: int, _frame: object) -> None:
        self.count += 1


def signalled_with_parent(parent_death_signal: signal.Signals | None) -> Callable[[], None] | None:
    """A `preexec_fn` for `Popen` that makes Linux send the signal to the child when the starting thread ends."""
    if parent_death_signal is None or sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl  # looked up before the fork, after which a child must do as little as possible
    return lambda: prctl(PR_SET_PDEATHSIG, parent_death_signal)
