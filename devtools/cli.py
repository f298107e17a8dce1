"""The commands of dev.py."""

import difflib
import signal
from collections.abc import Callable
from pathlib import Path

from devtools.audit import audit
from devtools.check import check
from devtools.console import Failure, prepare_output, say
from devtools.processes import foreground
from devtools.reset import reset
from devtools.start import start
from devtools.workspace import prepare

ROOT = Path(__file__).resolve().parent.parent

Command = Callable[[Path, list[str]], int]


def module(name: str) -> Command:
    """A command that runs a module of the repository and passes all arguments to it."""

    def command(root: Path, words: list[str]) -> int:
        workspace = prepare(root)
        return foreground([str(workspace.python), "-m", name, *words], cwd=root, env=workspace.environment())

    return command


COMMANDS: dict[str, tuple[Command, str]] = {
    "start": (start, "run the service on this machine [--host func|emulator] [--port 7071]"),
    "test": (check, "check everything [--python 3.12] [arguments for pytest]"),
    "reset": (reset, "delete everything that the service has stored in .azurite/ [--yes]"),
    "audit": (audit, "look for known security problems in packages and infrastructure"),
    "soak": (module("tests.soak"), "kill hosts for minutes, and see that nothing is lost"),
    "bench": (module("bench"), "measure the running service [--quick] [--write: into bench/RESULTS.md]"),
    "screenshots": (module("devtools.screenshots"), "take the README's pictures of the running service [--url URL]"),
}


def main(words: list[str], root: Path = ROOT) -> int:
    """Run one command; return its exit code."""
    prepare_output()
    if not words or words[0] not in COMMANDS:
        return _usage(words)
    # A shell that starts dev.py in the background makes it ignore SIGINT. Children inherit that and would not end.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        return COMMANDS[words[0]][0](root, words[1:])
    except Failure as failure:
        if failure.output:
            say(failure.output)
        say(str(failure))
    except OSError as error:  # a full disk, a folder that may not be written
        say(f"The operating system reports an error ({error}): correct that, then run this again")
    except KeyboardInterrupt:
        say("Interrupted.")
        return 128 + signal.SIGINT
    return 1


def _usage(words: list[str]) -> int:
    """List the commands. For an unknown command, say so first and suggest a similar one."""
    asks_for_help = words[:1] in (["-h"], ["--help"], ["help"])
    if words and not asks_for_help:
        similar = difflib.get_close_matches(words[0], COMMANDS, n=1, cutoff=0.5)
        meant = f" Did you mean `dev.py {similar[0]}`?" if similar else ""
        say(f"dev.py has no command {words[0]!r}.{meant}")
    say("usage: python3 dev.py COMMAND")
    for name, (_, what) in COMMANDS.items():
        say(f"  {name:11} {what}")
    return 0 if asks_for_help else 2
