"""Starts Azurite, the storage emulator, for `dev.py start`, the tests, the benchmarks and the soak.

Azurite runs as long as any process has the other end of its standard input open (see keep_with_parent.cjs). Then it
shuts down and writes everything that it has acknowledged to disk. If it is killed, the last seconds are lost.
"""

import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from devtools import ports
from devtools.child import Child, wait_until

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = Path("node_modules", "azurite", "dist", "src", "azurite.js")
SERVICES = ("Blob", "Queue", "Table")
ACCOUNT = "devstoreaccount1"
# The account key of every storage emulator, as published in Microsoft's documentation of Azurite.
ACCOUNT_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


def connection_string(blob_queue_table: Sequence[int]) -> str:
    """The value of `AzureWebJobsStorage` for an Azurite on these ports."""
    endpoints = "".join(
        f"{service}Endpoint=http://{ports.LOOPBACK}:{port}/{ACCOUNT};"
        for service, port in zip(SERVICES, blob_queue_table, strict=True)
    )
    return f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={ACCOUNT_KEY};{endpoints}"


class Azurite:
    """An Azurite that keeps its ports and its data when it is stopped and started again.

    `blob_queue_table` are the ports of the three services (free ports if left out). `accounts` replaces the usual
    account (`name:key;…`). Azurite inherits the descriptors in `keep_open`, and it gets `parent_death_signal` when the
    thread that started it ends.
    """

    def __init__(
        self,
        data: Path,
        *,
        log: Path,
        blob_queue_table: Sequence[int] = (),
        accounts: str = "",
        root: Path = ROOT,
        node: str = "node",
        keep_open: Sequence[int] = (),
        parent_death_signal: signal.Signals | None = signal.SIGKILL,
    ) -> None:
        self.data = data
        self.log = log
        self.ports = tuple(blob_queue_table or ports.free_ports(3))
        self.child: Child | None = None
        self._accounts = accounts
        self._root = root
        self._node = node
        self._keep_open = keep_open
        self._parting = parent_death_signal

    @property
    def connection_string(self) -> str:
        """The connection string of this instance, for its usual account."""
        return connection_string(self.ports)

    def launch(self) -> Child:
        """Start it, without waiting."""
        self.data.mkdir(parents=True, exist_ok=True)
        self.log.write_bytes(b"")  # `is_listening` must not read the lines of an earlier run
        self.child = Child(
            self._command(),
            log=self.log,
            cwd=self.data,
            env={"AZURITE_ACCOUNTS": self._accounts} if self._accounts else {},
            stdin=subprocess.PIPE,
            keep_open=self._keep_open,
            parent_death_signal=self._parting,
        )
        return self.child

    def start(self, seconds: float = 60) -> None:
        """Start it and wait until it listens."""
        child = self.launch()
        wait_until(lambda: self.is_listening() or not child.running(), seconds=seconds, what="Azurite listens")
        if not self.is_listening():
            raise AssertionError(child.output())

    def is_listening(self) -> bool:
        """Whether all three services log that they listen. A connection proves nothing: another program may answer."""
        return self._count_in_log("successfully listening") == len(SERVICES)

    def has_lost_its_ports(self) -> bool:
        """Whether another program took a port after it was chosen and before Azurite could listen on it."""
        return not self.is_running() and self._count_in_log("EADDRINUSE") > 0

    def is_running(self) -> bool:
        """Whether it was started and has not ended."""
        return self.child is not None and self.child.running()

    def keep_alive_descriptor(self) -> int:
        """A descriptor for other processes to inherit. Azurite runs until all of them have ended."""
        if self.child is None or self.child.popen.stdin is None:
            raise AssertionError("Azurite has not been started")
        return self.child.popen.stdin.fileno()

    def stop(self, seconds: float = 60) -> None:
        """Shut it down and wait until it has written its data; TimeoutExpired if that takes longer than `seconds`."""
        if self.child is None:
            return
        if sys.platform == "win32":
            self._close_stdin()
        else:
            self.child.signal(signal.SIGTERM)
        self.child.wait(seconds)
        self._close_stdin()

    def kill(self) -> None:
        """Kill it. What it acknowledged in the last seconds is lost."""
        if self.child is not None:
            self.child.kill()
            self._close_stdin()

    def freeze(self) -> None:
        """Suspend it: it accepts connections and does not answer."""
        if self.child is not None:
            self.child.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Resume it after `freeze`."""
        if self.child is not None:
            self.child.signal(signal.SIGCONT)

    def copy_data(self, to: Path) -> None:
        """Copy its files to another folder; it must be stopped."""
        shutil.copytree(self.data, to)

    def roll_back(self, service: str, copy: Path) -> None:
        """Restore the files of one service (`queue`, `table`) from a copy; it must be stopped."""
        for new in self.data.glob(f"*{service}*"):
            shutil.rmtree(new) if new.is_dir() else new.unlink()
        for old in copy.glob(f"*{service}*"):
            target = self.data / old.name
            shutil.copytree(old, target) if old.is_dir() else shutil.copy(old, target)

    def _count_in_log(self, text: str) -> int:
        return self.log.read_text(encoding="utf-8", errors="replace").count(text)

    def _close_stdin(self) -> None:
        if self.child is not None and self.child.popen.stdin is not None:
            self.child.popen.stdin.close()

    def _command(self) -> list[str]:
        keep = str(Path(__file__).with_name("keep_with_parent.cjs"))
        command = [self._node, "--require", keep, str(self._root / PROGRAM), "--silent", "--disableTelemetry"]
        command += ["--location", str(self.data)]
        for service, port in zip(SERVICES, self.ports, strict=True):
            command += [f"--{service.lower()}Port", str(port)]
        return command


@contextmanager
def azurite(folder: Path, *, accounts: str = "") -> Iterator[Azurite]:
    """A running Azurite for a test, on free ports, with its data and its log below `folder`."""
    server = Azurite(folder / "data", log=folder / "azurite.log", accounts=accounts)
    try:
        server.start()
        yield server
    finally:
        server.kill()
