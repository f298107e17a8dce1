"""A child process that writes its output to a file, for tests, benchmarks and the soak."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from devtools.environment import inheritable
from devtools.processes import spawn


def wait_until(condition: Callable[[], object], *, seconds: float, what: str) -> None:
    """Poll until the condition is true; AssertionError with the text `what` if that takes longer than `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:g} s: {what}")
        time.sleep(0.02)


class Child:
    """A process in its own process group. On Linux it is killed when the thread that started it ends.

    Its environment is what may be inherited (see environment.py), with `env` added.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        log: Path,
        cwd: Path,
        env: Mapping[str, str] | None = None,
        stdin: int = subprocess.DEVNULL,
        keep_open: Sequence[int] = (),
        parent_death_signal: signal.Signals | None = signal.SIGKILL,
    ) -> None:
        self.log = log
        with log.open("ab") as output:
            self.popen = spawn(
                command,
                cwd=cwd,
                env={**inheritable(os.environ), **(env or {})},
                stdin=stdin,
                stdout=output,
                stderr=subprocess.STDOUT,
                keep_open=keep_open,
                parent_death_signal=parent_death_signal,
            )
        self.pid = self.popen.pid

    def output(self) -> str:
        """Everything that the process has printed."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def running(self) -> bool:
        """Whether it has not ended."""
        return self.popen.poll() is None

    def signal_group(self, number: signal.Signals) -> None:
        """Send a signal to the whole group. The processes that it has started also get it if it has ended itself."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal if the process still runs."""
        if self.running():
            self.popen.send_signal(number)

    def wait(self, seconds: float = 30) -> int:
        """Wait until the process has ended; return its exit code."""
        return self.popen.wait(seconds)

    def stop(self, seconds: float = 30) -> int:
        """Send SIGTERM, and kill the process if it has not ended after `seconds`; return its exit code."""
        self.signal(signal.SIGTERM)
        try:
            return self.wait(seconds)
        except subprocess.TimeoutExpired:
            return self.kill()

    def kill(self) -> int:
        """Kill the process; return its exit code."""
        self.signal(signal.SIGKILL)
        return self.wait()
