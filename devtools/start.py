"""`dev.py start` starts storage and then the host. It stops the host first, so that the host can still write."""

import argparse
import math
import os
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple, Protocol

from devtools import ports
from devtools.console import Failure, reader_has_gone, say, step
from devtools.host import Choice, Host, choose
from devtools.locks import locked
from devtools.node import azurite_answers, install_azurite
from devtools.packages import START
from devtools.processes import Interrupts
from devtools.storage import LocalStorage, OwnAccount, SpaceWatch, choose_ports, chosen_account
from devtools.workspace import Workspace, prepare

WELCOME = """
The service runs at {url}, and its data is in {where}
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
    """The user has asked to stop, or nobody reads the output any more."""


class RunningProcess(Protocol):
    """A process that should run until it is stopped."""

    def end_message(self) -> str:
        """What happened if the process has ended by itself, else an empty text."""


class Limit(NamedTuple):
    """How long to wait, and the message if that was not enough."""

    seconds: float
    message: str


NO_LIMIT = Limit(math.inf, "")
STORAGE_READY = Limit(60, "Azurite does not answer: see .azurite/azurite.log")
FIRST_ANSWER = Limit(120, "The host does not answer: see above what it says")


def start(root: Path, words: list[str]) -> int:
    """Run the service until the user stops it; `Failure` if it ends for another reason. The exit code is 0."""
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
            busy_message="The service of this checkout already runs and uses .azurite/ ({holder}): end it first",
        ),
        locked(  # Azurite and the host inherit this lock, so it stays locked if this process is killed
            root / ".azurite" / "storage.lock",
            holder=holder,
            patience=30,
            waiting_message="The previous run was killed: waiting until its host and Azurite have ended",
            busy_message="The host of a killed run ({holder}) still uses .azurite/: run this again when it has ended",
        ) as lock,
    ):
        _require_free(options.port)
        choice = choose(options.host, root)
        account = chosen_account(root, os.environ)
        workspace = prepare(root, needs=START, needs_azurite=account is None)
        interrupts = Interrupts()
        interrupts.install()
        try:
            _serve(workspace, choice, account, port=options.port, lock=lock, interrupts=interrupts)
        except StopRequestedError:
            say("Stopped.")
    return 0


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 1 << 16:
        raise argparse.ArgumentTypeError(f"{text} is no port: give a number from 1 to 65535")
    return int(text)


def _require_free(port: int) -> None:
    why_not = ports.busy_reason(port)
    if why_not:
        (other,) = ports.free_ports(1)
        raise Failure(f"Port {port} cannot be used, {why_not}: choose another, such as dev.py start --port {other}")


def _serve(
    workspace: Workspace,
    choice: Choice,
    account: OwnAccount | None,
    *,
    port: int,
    lock: int,
    interrupts: Interrupts,
) -> None:
    with ExitStack() as to_stop:  # stops the host before Azurite
        running: list[RunningProcess] = []
        settings = {}
        if account is None:
            local = _start_storage(workspace, lock=lock, interrupts=interrupts, to_stop=to_stop)
            running.append(local)
            settings = {"AzureWebJobsStorage": local.azurite.connection_string}
            keep_open = [local.azurite.keep_alive_descriptor()]
            where = ".azurite/"
        else:
            say(f"Storage: {account.source}")
            keep_open = [lock]
            where = "the account above"
        say(f"Host: {choice.reason}")
        host = Host(choice, workspace, port=port, settings=settings, keep_open=keep_open)
        to_stop.callback(_stop_host, host, interrupts)
        running.append(host)
        wait(host.answers, running, interrupts, limit=FIRST_ANSWER)
        _announce(host, where)
        space = SpaceWatch(workspace.root / ".azurite")
        wait(lambda: _look_at(space), running, interrupts)


def _announce(host: Host, where: str) -> None:
    url = f"http://{ports.LOOPBACK}:{host.port}"
    say(WELCOME.format(url=url, where=where), end="")

    if host.health_message:  # for example a wrong setting, which would make the example below fail
        say(host.health_message)
    else:
        say(TRY_IT.format(url=url), end="")
    say("Ctrl-C stops it.")


def _start_storage(workspace: Workspace, *, lock: int, interrupts: Interrupts, to_stop: ExitStack) -> LocalStorage:
    """Start Azurite and wait until it listens.

    If another program takes its ports, choose others. If it is damaged, install it again.
    """
    is_repaired = False
    while True:
        local = LocalStorage(workspace, choose_ports(), lock=lock)
        to_stop.callback(local.stop)
        try:
            with step("Azurite"):
                wait(local.azurite.is_listening, [local], interrupts, limit=STORAGE_READY)
        except Failure:
            if local.azurite.has_lost_its_ports():
                say("Another program took its ports at the same moment: it gets others")
            elif not is_repaired and not azurite_answers(workspace.root, workspace.node):
                say("Its packages in node_modules are damaged: they are installed again")
                install_azurite(workspace.root, workspace.node)
                is_repaired = True
            else:
                raise
        else:
            return local


def wait(
    until: Callable[[], bool], running: Sequence[RunningProcess], interrupts: Interrupts, *, limit: Limit = NO_LIMIT
) -> None:
    """Wait until the condition is true.

    Raises `StopRequestedError` if the user asks to stop, and `Failure` if a process ends or the limit is exceeded.
    """
    deadline = time.monotonic() + limit.seconds
    while not until():
        if interrupts.count or reader_has_gone():
            raise StopRequestedError
        for process in running:
            what_happened = process.end_message()
            if what_happened:
                raise Failure(what_happened)
        if time.monotonic() > deadline:
            raise Failure(f"{limit.message} (waited {limit.seconds:g} s)")
        time.sleep(0.05)


def _stop_host(host: Host, interrupts: Interrupts) -> None:
    before = interrupts.count
    host.stop(is_impatient=lambda: interrupts.count > before)


def _look_at(space: SpaceWatch) -> bool:
    space.look()
    return False
