"""Processes that tests start: each on free ports, in a folder of its own, and gone when the tests are."""

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from devtools import storage
from devtools.ports import free_ports, listening

ROOT = Path(__file__).resolve().parents[2]
AZURITE = ROOT / "node_modules" / "azurite" / "dist" / "src" / "azurite.js"


def wait_until(condition: Callable[[], object], *, seconds: float, what: str) -> None:
    """Poll until the condition holds; fail with `what` after a generous limit."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:g} s: {what}")
        time.sleep(0.02)


def _die_with_parent() -> None:
    """On Linux a child ends when the tests do, even by `kill -9`."""
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


class Process:
    """A child process with its output in a file."""

    def __init__(self, command: Sequence[str], *, log: Path, cwd: Path = ROOT, env: Mapping[str, str] = {}) -> None:
        self.log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                cwd=cwd,
                env={**os.environ, **env},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_die_with_parent,  # noqa: PLW1509 # it makes one system call
            )
        self.pid = self._process.pid

    def output(self) -> str:
        """Everything that it has printed."""
        return self.log.read_text(errors="replace")

    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def signal_group(self, number: signal.Signals) -> None:
        """Send a signal to it and to every process that it has started, also when it has ended and they have not."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, if it still runs."""
        if self.running():
            self._process.send_signal(number)

    def wait(self, seconds: float = 30) -> int:
        """Wait for its end; return the exit code."""
        return self._process.wait(seconds)

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


class Azurite:
    """A storage emulator of one's own. It keeps its ports and its data when it is stopped and started again."""

    def __init__(self, folder: Path, *, accounts: str = "") -> None:
        self.folder = folder
        self.blob_port, self.queue_port, self.table_port = free_ports(3)
        self.process: Process | None = None
        self._env = {"AZURITE_ACCOUNTS": accounts} if accounts else {}

    @property
    def connection_string(self) -> str:
        """For this instance."""
        return storage.connection_string((self.blob_port, self.queue_port, self.table_port))

    def start(self) -> None:
        """Start it and wait until it listens."""
        data = self.folder / "data"
        data.mkdir(parents=True, exist_ok=True)
        command = ["node", str(AZURITE), "--silent", "--disableTelemetry", "--location", str(data)]
        for service, port in (("blob", self.blob_port), ("queue", self.queue_port), ("table", self.table_port)):
            command += [f"--{service}Port", str(port)]
        process = self.process = Process(command, log=self.folder / "azurite.log", cwd=self.folder, env=self._env)
        ports = (self.blob_port, self.queue_port, self.table_port)
        wait_until(lambda: not process.running() or all(map(listening, ports)), seconds=60, what="Azurite listens")
        assert process.running(), process.output()

    def stop(self) -> None:
        """SIGTERM: everything acknowledged is on disk afterwards."""
        if self.process:
            self.process.stop()

    def kill(self) -> None:
        """SIGKILL: the last seconds are lost."""
        if self.process:
            self.process.kill()

    def freeze(self) -> None:
        """Suspend it: it accepts connections and says nothing."""
        if self.process:
            self.process.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        if self.process:
            self.process.signal(signal.SIGCONT)

    def copy_data(self, to: Path) -> None:
        """Keep what it has on disk; it must be stopped."""
        shutil.copytree(self.folder / "data", to)

    def roll_back(self, service: str, copy: Path) -> None:
        """Put back what one of its services (`queue`, `table`) had on disk then; it must be stopped."""
        data = self.folder / "data"
        for new in data.glob(f"*{service}*"):
            shutil.rmtree(new) if new.is_dir() else new.unlink()
        for old in copy.glob(f"*{service}*"):
            shutil.copytree(old, data / old.name) if old.is_dir() else shutil.copy(old, data)


@contextlib.contextmanager
def azurite(folder: Path, *, accounts: str = "") -> Iterator[Azurite]:
    """A running Azurite, with the usual account or with others (`name:key;…`)."""
    one = Azurite(folder, accounts=accounts)
    try:
        one.start()
        yield one
    finally:
        one.kill()
