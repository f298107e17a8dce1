"""A signal reaches each process once, from dev.py and in its order; none outlives dev.py where the system can help.

A terminal sends Ctrl-C to its whole process group at once. What is spawned here is in a group of its own, out of
reach of that, and dev.py decides who is told what, and when.
"""

# ruff: noqa: S603 - the commands are lists made here, and no shell reads them

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

PR_SET_PDEATHSIG = 1  # prctl(2)


def run(command: Sequence[str], *, cwd: Path, timeout: float | None = None) -> tuple[int, str]:
    """Run to the end: exit code and output. What cannot be run at all, or takes too long, has exit code -1."""
    try:
        done = subprocess.run(
            command,
            cwd=cwd,
            timeout=timeout,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return -1, str(error)
    return done.returncode, done.stdout


def spawn(
    command: Sequence[str],
    *,
    keep_open: Sequence[int] = (),
    parting: signal.Signals | None = None,
    **options: Any,  # noqa: ANN401 - what Popen takes
) -> subprocess.Popen[bytes]:
    """Start a process in a group of its own; `options` are those of `Popen`.

    It inherits the descriptors in `keep_open` (not on Windows). Should dev.py be killed, it gets the signal `parting`
    (on Linux).
    """
    if sys.platform == "win32":
        return subprocess.Popen(command, creationflags=subprocess.CREATE_NEW_PROCESS_GROUP, **options)
    options |= {"start_new_session": True, "pass_fds": keep_open, "preexec_fn": _tied_to_parent(parting)}
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


def end_group(process: subprocess.Popen[bytes], *, patience: float = 5) -> None:
    """End whatever the process left behind in its group: asked first, killed after `patience` seconds."""
    if sys.platform == "win32":
        process.kill()
        return
    with suppress(ProcessLookupError, PermissionError):  # macOS answers EPERM when only zombies are left
        os.killpg(process.pid, signal.SIGTERM)
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            time.sleep(0.05)
            process.poll()  # reaps it, so that its group can end
            os.killpg(process.pid, 0)
        os.killpg(process.pid, signal.SIGKILL)
    process.poll()


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


def _tied_to_parent(parting: signal.Signals | None) -> Callable[[], None] | None:
    """What the child does before it becomes the program: it asks the kernel for the signal. Linux only."""
    if parting is None or sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl  # looked up here: a child must do as little as possible
    return lambda: prctl(PR_SET_PDEATHSIG, parting)
