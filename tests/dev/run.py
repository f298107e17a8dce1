"""A run of `dev.py start` as a process, and what it leaves behind."""

import os
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from devtools.child import Child, wait_until
from devtools.console import Failure
from devtools.locks import locked
from devtools.ports import free_ports, listening


class Run(Child):
    """`dev.py start` in a checkout, on a free port, with its output in a file."""

    def __init__(
        self, checkout: Path, *, host: str = "emulator", port: int = 0, env: Mapping[str, str] | None = None
    ) -> None:
        self.port = port or free_ports(1)[0]
        self.checkout = checkout
        super().__init__(
            [sys.executable, "dev.py", "start", "--host", host, "--port", str(self.port)],
            log=checkout.parent / f"run-{self.port}.log",
            cwd=checkout,
            env=env or {},
        )

    def wait_for(self, text: str) -> None:
        """Wait until the run or its host has printed the text."""
        wait_until(lambda: text in self.output(), seconds=60, what=f"{text!r} is printed")

    def error_output(self) -> str:
        """Wait until the run has ended with exit code 1; return its output."""
        wait_until(lambda: not self.running(), seconds=30, what="it ends")
        assert self.wait() == 1, self.output()
        return self.output()

    def ctrl_c(self) -> None:
        """Signal the whole process group, as a terminal does."""
        os.killpg(self.pid, signal.SIGINT)

    def children(self) -> dict[str, int]:
        """The process IDs of Azurite and the host. Linux only."""
        pids = {}
        for pid in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split():
            command = Path(f"/proc/{pid}/cmdline").read_text()
            name = "azurite" if "azurite.js" in command else "host"
            pids[name] = int(pid)
        return pids

    def everything_has_ended(self) -> bool:
        """Whether nothing listens on the port, and neither Azurite nor a host has the lock of the data folder."""
        with (
            suppress(Failure),
            locked(self.checkout / ".azurite" / "storage.lock", holder="", patience=0, busy_message=""),
        ):
            return not listening(self.port)
        return False

    def azurite_closed_in_order(self) -> bool:
        """Whether Azurite wrote everything before it ended."""
        log = (self.checkout / ".azurite" / "azurite.log").read_text()
        return log.count("successfully closed") == 3


@contextmanager
def running(checkout: Path, *, host: str = "emulator", env: Mapping[str, str] | None = None) -> Iterator[Run]:
    """A run that has started the service. Everything that is left of it is killed after the test."""
    run = Run(checkout, host=host, env=env)
    children: dict[str, int] = {}
    try:
        ready = "Ctrl-C stops it."
        wait_until(lambda: ready in run.output() or not run.running(), seconds=60, what="the service runs")
        assert ready in run.output(), run.output()
        children = run.children() if sys.platform == "linux" else {}
        yield run
    finally:
        run.stop()
        try:
            wait_until(run.everything_has_ended, seconds=30, what="everything has ended")
        except AssertionError:
            for pid in children.values():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            raise
