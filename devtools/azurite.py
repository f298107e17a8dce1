"""Azurite, the storage emulator: one way to start it, for `dev.py start`, the tests, the benchmarks and the soak.

It lives as long as somebody holds the other end of its standard input (see keep_with_parent.cjs), and then ends in
order: everything that it has acknowledged is on disk afterwards. A killed one loses its last seconds.
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
# Every storage emulator's account key; Microsoft's documentation of Azurite prints it.
ACCOUNT_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


def connection_string(blob_queue_table: Sequence[int]) -> str:
    """What the app is to use as `AzureWebJobsStorage`."""
    endpoints = "".join(
        f"{service}Endpoint=http://{ports.LOOPBACK}:{port}/{ACCOUNT};"
        for service, port in zip(SERVICES, blob_queue_table, strict=True)
    )
    return f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={ACCOUNT_KEY};{endpoints}"


class Azurite:
    """An Azurite that keeps its ports and its data when it is stopped and started again.

    `ports` are those of blob, queue and table storage (free ones when left out), `accounts` other accounts than the
    usual one (`name:key;…`), `keep_open` the descriptors that it inherits. It is sent `parting` when the thread that
    started it ends.
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
        parting: signal.Signals | None = signal.SIGKILL,
    ) -> None:
        self.data = data
        self.log = log
        self.ports = tuple(blob_queue_table or ports.free_ports(3))
        self.child: Child | None = None
        self._accounts = accounts
        self._root = root
        self._node = node
        self._keep_open = keep_open
        self._parting = parting

    @property
    def connection_string(self) -> str:
        """For this instance and its usual account."""
        return connection_string(self.ports)

    def launch(self) -> Child:
        """Start it, without waiting."""
        self.data.mkdir(parents=True, exist_ok=True)
        self.log.write_bytes(b"")  # the log of this run: `is_listening` reads it
        self.child = Child(
            self._command(),
            log=self.log,
            cwd=self.data,
            env={"AZURITE_ACCOUNTS": self._accounts} if self._accounts else {},
            stdin=subprocess.PIPE,
            keep_open=self._keep_open,
            parting=self._parting,
        )
        return self.child

    def start(self, seconds: float = 60) -> None:
        """Start it and wait until it listens."""
        child = self.launch()
        wait_until(lambda: self.is_listening() or not child.running(), seconds=seconds, what="Azurite listens")
        if not self.is_listening():
            raise AssertionError(child.output())

    def is_listening(self) -> bool:
        """Whether all three services say so: on its ports, another program might answer."""
        return self.has_said("successfully listening") == len(SERVICES)

    def has_lost_its_ports(self) -> bool:
        """Whether another program took one of them between the choice and the use."""
        return not self.is_running() and self.has_said("EADDRINUSE") > 0

    def is_running(self) -> bool:
        """Whether it was started and has not ended."""
        return self.child is not None and self.child.running()

    def has_said(self, text: str) -> int:
        """How often its log has the text."""
        return self.log.read_text(encoding="utf-8", errors="replace").count(text)

    def lifeline(self) -> int:
        """A descriptor for others to inherit: Azurite lives until everybody who holds it has ended."""
        if self.child is None or self.child.popen.stdin is None:
            raise AssertionError("Azurite has not been started")
        return self.child.popen.stdin.fileno()

    def stop(self, seconds: float = 60) -> None:
        """End it in order, however long it writes. TimeoutExpired if it still writes then."""
        if self.child is None:
            return
        if sys.platform == "win32":
            self._let_go()
        else:
            self.child.signal(signal.SIGTERM)
        self.child.wait(seconds)
        self._let_go()

    def kill(self) -> None:
        """SIGKILL: the last seconds are lost."""
        if self.child is not None:
            self.child.kill()
            self._let_go()

    def freeze(self) -> None:
        """Suspend it: it accepts connections and does not answer."""
        if self.child is not None:
            self.child.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        if self.child is not None:
            self.child.signal(signal.SIGCONT)

    def copy_data(self, to: Path) -> None:
        """Keep what it has on disk; it must be stopped."""
        shutil.copytree(self.data, to)

    def roll_back(self, service: str, copy: Path) -> None:
        """Put back what one of its services (`queue`, `table`) had on disk then; it must be stopped."""
        for new in self.data.glob(f"*{service}*"):
            shutil.rmtree(new) if new.is_dir() else new.unlink()
        for old in copy.glob(f"*{service}*"):
            target = self.data / old.name
            shutil.copytree(old, target) if old.is_dir() else shutil.copy(old, target)

    def _let_go(self) -> None:
        """Close this end of its standard input."""
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
    one = Azurite(folder / "data", log=folder / "azurite.log", accounts=accounts)
    try:
        one.start()
        yield one
    finally:
        one.kill()
