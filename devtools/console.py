"""Prints for people: one line for each step, and for each failure one line that says what to do."""

import contextlib
import os
import select
import stat
import sys
import threading
import time
from collections.abc import Iterator

_has_lost_its_reader = threading.Event()
PIPE_HAS_NO_READER = getattr(select, "POLLERR", 0)


class Failure(Exception):
    """Ends the command with one line that says what is wrong and what to do.

    `output` is the end of a failed program's output. It is shown before the line.
    """

    def __init__(self, line: str, *, output: str = "") -> None:
        super().__init__(line)
        self.output = output


def prepare_output() -> None:
    """Print a character's code if the terminal cannot show the character, instead of raising an error."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, OSError):  # a test may have replaced the stream
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


def say(text: str, *, end: str = "\n") -> None:
    """Print and flush. A closed pipe raises nothing, because everything must still be stopped in the right order."""
    try:
        sys.stdout.write(text + end)
        sys.stdout.flush()
    except BrokenPipeError:
        _has_lost_its_reader.set()
        _print_nowhere()
    except OSError:  # such as a full disk under a log file
        return


def reader_has_gone() -> bool:
    """Whether standard output is a pipe whose reader has ended, as after `dev.py start | head`."""
    if _has_lost_its_reader.is_set():
        return True
    try:
        descriptor = sys.stdout.fileno()
        if not PIPE_HAS_NO_READER or not stat.S_ISFIFO(os.fstat(descriptor).st_mode):
            return False
        poll = select.poll()
        poll.register(descriptor, 0)
        return any(event & PIPE_HAS_NO_READER for _, event in poll.poll(0))
    except (OSError, ValueError):
        return False


def ask(question: str) -> bool:
    """Whether the person at the terminal answers yes."""
    say(f"{question} [y/N] ", end="")
    return sys.stdin.readline().strip().lower() in ("y", "yes")


@contextlib.contextmanager
def step(what: str) -> Iterator[None]:
    """Print one line for a step: what is done, and how long it took."""
    say(f"{what} ... ", end="")
    began = time.monotonic()
    try:
        yield
    except BaseException:
        say("failed")
        raise
    say(f"{time.monotonic() - began:.1f} s")


def tail(output: str, lines: int = 12) -> str:
    """The last lines that are not blank."""
    return "\n".join([line for line in output.splitlines() if line.strip()][-lines:])


def _print_nowhere() -> None:
    """Send standard output to nowhere. Otherwise Python would flush its buffer at exit and fail again."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
