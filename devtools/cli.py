"""The commands of dev.py, one row each."""

import signal
from collections.abc import Callable
from pathlib import Path

from devtools.check import check
from devtools.console import Failure, say
from devtools.processes import foreground
from devtools.start import start
from devtools.workspace import prepare

ROOT = Path(__file__).resolve().parent.parent

Command = Callable[[Path, list[str]], int]


def module(name: str) -> Command:
    """A command that runs a module of the repository, with all its arguments."""

    def command(root: Path, words: list[str]) -> int:
        workspace = prepare(root)
        return foreground([str(workspace.python), "-m", name, *words], cwd=root, env=workspace.environment())

    return command


COMMANDS: dict[str, tuple[Command, str]] = {
    "start": (start, "run the service on this machine [--host func|emulator] [--port 7071]"),
    "test": (check, "check everything [--python 3.12] [arguments for pytest]"),
    "soak": (module("tests.soak"), "kill hosts for minutes, and see that nothing is lost"),
    "bench": (module("bench"), "measure the running service [--quick | --full] [--write: into bench/RESULTS.md]"),
}


def main(words: list[str], root: Path = ROOT) -> int:
    """Run one command; gives its exit code."""
    if not words or words[0] not in COMMANDS:
        say(
            "\n".join(
                ["usage: python3 dev.py COMMAND", *(f"  {name:6} {what}" for name, (_, what) in COMMANDS.items())]
            )
        )
        return 0 if words[:1] in (["-h"], ["--help"]) else 2
    # Children start with what is set here: in a shell's background, SIGINT would be ignored and they would not end.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        return COMMANDS[words[0]][0](root, words[1:])
    except Failure as failure:
        if failure.output:
            say(failure.output)
        say(str(failure))
    except OSError as error:  # a full disk, a folder that may not be written
        say(f"The system refused something ({error}): mend that, then run this again")
    except KeyboardInterrupt:
        say("Interrupted.")
        return 128 + signal.SIGINT
    return 1
