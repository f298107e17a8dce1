"""A child process with its output in a file, for tests, benchmarks and the soak."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from devtools.environment import trusted
from devtools.processes import spawn


def wait_until(condition: Callable[[], object], *, seconds: float, what: str) -> None:
    """Poll until the condition holds; AssertionError with `what` after that many seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:g} s: {what}")
        time.sleep(0.02)


class Child:
    """A process in a group of its own. It is killed when the thread that started it ends (on Linux).

    It gets the variables that may be inherited, and `env` on top of them.
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
        parting: signal.Signals | None = signal.SIGKILL,
    ) -> None:
        self.log = log
        with log.open("ab") as output:
            self.popen = spawn(
                command,
                cwd=cwd,
                env={**trusted(os.environ), **(env or {})},
                stdin=stdin,
                stdout=output,
                stderr=subprocess.STDOUT,
                keep_open=keep_open,
                parting=parting,
            )
        self.pid = self.popen.pid

    def output(self) -> str:
        """Everything that it has printed."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def running(self) -> bool:
        """Whether it has not ended."""
        return self.popen.poll() is None

    def signal_group(self, number: signal.Signals) -> None:
        """Send a signal to it and to every process that it has started, also when it has ended and they have not."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, if it still runs."""
        if self.running():
            self.popen.send_signal(number)

    def wait(self, seconds: float = 30) -> int:
        """Wait for its end; return the exit code."""
        return self.popen.wait(seconds)

    def stop(self, seconds: float = 30) -> int:
        """End it gently, and by force if it does not listen."""
        self.signal(signal.SIGTERM)
        try:
            return self.wait(seconds)
        except subprocess.TimeoutExpired:
            return self.kill()

    def kill(self) -> int:
        """End it at once."""
        self.signal(signal.SIGKILL)
        return self.wait()
