"""`dev.py start`: storage first, then the host; to stop, the host first, so that its batch in flight is stored."""

import argparse
import math
import os
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple, Protocol

from devtools import ports
from devtools.console import Failure, say, step
from devtools.host import Choice, Host, choose
from devtools.locks import locked
from devtools.processes import Interrupts
from devtools.storage import Azurite, choose_ports, connection_string
from devtools.workspace import Workspace, prepare

WELCOME = """
The service runs at {url} and its data is in .azurite/
  GET  {url}/ (a live board, for a browser)
  POST {url}/ingest
  GET  {url}/status/{{ingestion_id}}
  GET  {url}/results/{{ingestion_id}}
"""
TRY_IT = """\
Try it, in another terminal:
  curl -i {url}/ingest -d '{{"ids": [1, 2, 3, 4, 5], "priority": "HIGH"}}'
"""


class StopRequestedError(Exception):
    """Somebody asked to stop."""


class Running(Protocol):
    """A process that is to run until it is stopped."""

    def ended(self) -> str:
        """What happened, if it has ended all the same."""


class Limit(NamedTuple):
    """How long to wait, and what is wrong after that."""

    seconds: float
    otherwise: str


NONE = Limit(math.inf, "")
STORAGE_READY = Limit(60, "Azurite does not answer: see .azurite/azurite.log")
FIRST_ANSWER = Limit(120, "The host does not answer: see above what it says")


def start(root: Path, words: list[str]) -> int:
    """Run the service until it is told to stop. Exit code 0 when it was; a `Failure` when something else ended it."""
    parser = argparse.ArgumentParser(prog="dev.py start", description="Run the service on this machine.")
    parser.add_argument("--host", choices=["func", "emulator"], help="default: func if a working one is on PATH")
    parser.add_argument("--port", type=_port, default=7071, help="of the service (default: 7071)")
    options = parser.parse_args(words)
    holder = f"process {os.getpid()}, port {options.port}"
    with (
        locked(
            root / ".azurite" / "start.lock",
            holder=holder,
            patience=0,
            refusal="This checkout's service is already running, and .azurite/ in use ({holder}): end that one first",
        ),
        locked(  # Azurite and the host inherit this one: it outlasts a run that was killed
            root / ".azurite" / "storage.lock",
            holder=holder,
            patience=30,
            notice="The run before this was killed: waiting until its host and Azurite have ended",
            refusal="A killed run ({holder}) has left a host that uses .azurite/: run this again when that has ended",
        ) as lock,
    ):
        why_not = ports.why_not_free(options.port)
        if why_not:
            raise Failure(f"Port {options.port} cannot be used, {why_not}: choose another with --port")
        choice = choose(options.host, root)
        workspace = prepare(root)
        interrupts = Interrupts()
        interrupts.install()
        try:
            _serve(workspace, choice, port=options.port, lock=lock, interrupts=interrupts)
        except StopRequestedError:
            say("Stopped.")
    return 0


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 1 << 16:
        raise argparse.ArgumentTypeError(f"{text} is no port: give a number from 1 to 65535")
    return int(text)


def _serve(workspace: Workspace, choice: Choice, *, port: int, lock: int, interrupts: Interrupts) -> None:
    with ExitStack() as to_stop:  # unwound from the last to the first: Azurite outlives the host
        azurite = _start_azurite(workspace, lock=lock, interrupts=interrupts, to_stop=to_stop)
        say(f"Host: {choice.why}")
        host = Host(
            choice,
            workspace,
            port=port,
            settings={"AzureWebJobsStorage": connection_string(azurite.ports)},
            storage_life=azurite.alive_as_long_as(),
        )
        to_stop.callback(_stop_host, host, interrupts)
        _wait(host.answers, [azurite, host], interrupts, limit=FIRST_ANSWER)
        url = f"http://{ports.LOOPBACK}:{port}"
        say(WELCOME.format(url=url), end="")
        # A backlog from yesterday has waited too; a wrong setting stays until it is mended.
        say(host.complaint or TRY_IT.format(url=url), end="\n" if host.complaint else "")
        say("Ctrl-C stops it.")
        _wait(lambda: False, [azurite, host], interrupts)


def _start_azurite(workspace: Workspace, *, lock: int, interrupts: Interrupts, to_stop: ExitStack) -> Azurite:
    """Azurite, listening; on other ports when somebody takes the chosen ones at the same moment."""
    while True:
        storage_ports = choose_ports()
        try:
            with step("Azurite"):
                azurite = Azurite(workspace, storage_ports, lock=lock)
                to_stop.callback(azurite.stop)
                _wait(azurite.listening, [azurite], interrupts, limit=STORAGE_READY)
        except Failure:
            if not azurite.lost_its_ports():
                raise
            say("Somebody else took its ports at the same moment: it gets others")
        else:
            return azurite


def _wait(
    until: Callable[[], bool], running: Sequence[Running], interrupts: Interrupts, *, limit: Limit = NONE
) -> None:
    """Until the condition holds; a process that ends, a request to stop and the limit are exceptions."""
    deadline = time.monotonic() + limit.seconds
    while not until():
        if interrupts.count:
            raise StopRequestedError
        for process in running:
            what_happened = process.ended()
            if what_happened:
                raise Failure(what_happened)
        if time.monotonic() > deadline:
            raise Failure(f"{limit.otherwise} (waited {limit.seconds:g} s)")
        time.sleep(0.05)


def _stop_host(host: Host, interrupts: Interrupts) -> None:
    before = interrupts.count
    host.stop(impatient=lambda: interrupts.count > before)
