"""Azurite with its data in `.azurite/`: it ends last and in order, since a killed one loses what it acknowledged."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from devtools import ports
from devtools.console import Failure, say
from devtools.processes import ask_to_end, how_it_ended, spawn
from devtools.workspace import Workspace

USUAL_PORTS = (10000, 10001, 10002)
SERVICES = ("Blob", "Queue", "Table")
ACCOUNT = "devstoreaccount1"
# Every storage emulator's account key; Microsoft's documentation of Azurite prints it.
ACCOUNT_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


def choose_ports() -> Sequence[int]:
    """The usual ports of blob, queue and table storage, or three others when one of them is taken."""
    if not any(ports.why_not_free(port) for port in USUAL_PORTS):
        return USUAL_PORTS
    others = ports.free_ports(3)
    say("Azurite's usual ports (10000-10002) are taken: it uses {}, {} and {}".format(*others))
    return others


def connection_string(blob_queue_table: Sequence[int]) -> str:
    """What the app is to use as `AzureWebJobsStorage`."""
    endpoints = "".join(
        f"{service}Endpoint=http://{ports.LOOPBACK}:{port}/{ACCOUNT};"
        for service, port in zip(SERVICES, blob_queue_table, strict=True)
    )
    return f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={ACCOUNT_KEY};{endpoints}"


class Azurite:
    """The process, from start to end. `lock` is the descriptor of the data folder's lock, which it inherits."""

    def __init__(self, workspace: Workspace, blob_queue_table: Sequence[int], *, lock: int) -> None:
        self.ports = blob_queue_table
        self.log = workspace.root / ".azurite" / "azurite.log"
        with self.log.open("wb") as output:
            self.process = spawn(
                _command(workspace, self.ports),
                cwd=workspace.root,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                keep_open=[lock],
            )

    def alive_as_long_as(self) -> int:
        """A descriptor: Azurite lives until everybody who holds it has ended."""
        if self.process.stdin is None:
            raise AssertionError("Azurite is started with a pipe")
        return self.process.stdin.fileno()

    def listening(self) -> bool:
        """Whether all three services say so: on its ports, somebody else might answer."""
        return self._said("successfully listening") == len(SERVICES)

    def lost_its_ports(self) -> bool:
        """Whether somebody took one of them between the choice and the use."""
        return self.process.poll() is not None and self._said("EADDRINUSE") > 0

    def _said(self, text: str) -> int:
        return self.log.read_text(encoding="utf-8", errors="replace").count(text)

    def ended(self) -> str:
        """What happened, if it has ended."""
        code = self.process.poll()
        if code is None:
            return ""
        return f"Azurite {how_it_ended(code)}: run this again; its log is {self.log}"

    def stop(self) -> None:
        """End it in order, however long it writes; never kill it."""
        if self.process.poll() is None:
            if sys.platform == "win32":
                self.process.communicate()  # closes its standard input: see keep_with_parent.cjs
            else:
                ask_to_end(self.process)
        try:
            self.process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            raise Failure(f"Azurite (process {self.process.pid}) is still writing after 60 s: give it time") from None


def _command(workspace: Workspace, blob_queue_table: Sequence[int]) -> list[str]:
    options = [f"--{service.lower()}Port" for service in SERVICES]
    moved = [word for pair in zip(options, map(str, blob_queue_table), strict=True) for word in pair]
    return [
        workspace.node,
        "--require",
        str(Path(__file__).with_name("keep_with_parent.cjs")),
        str(workspace.root / "node_modules" / "azurite" / "dist" / "src" / "azurite.js"),
        "--silent",
        "--disableTelemetry",
        "--location",
        str(workspace.root / ".azurite"),
        *moved,
    ]
