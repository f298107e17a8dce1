"""What a person reads: one line for each step, and one line for whatever goes wrong, saying what to do."""

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
    """Ends the command with a line that says what is wrong and what to do.

    `output` is the end of what a failed program printed; it is shown before the line.
    """

    def __init__(self, line: str, *, output: str = "") -> None:
        super().__init__(line)
        self.output = output


def prepare_output() -> None:
    """A character that the terminal cannot show is shown as its code; it must not end the program."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, OSError):  # a stream that a test has put in its place
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


def say(text: str, *, end: str = "\n") -> None:
    """Print at once. If the reader has gone, everything must still be stopped in order, so that is no error."""
    try:
        sys.stdout.write(text + end)
        sys.stdout.flush()
    except BrokenPipeError:
        _has_lost_its_reader.set()
        _print_nowhere()
    except OSError:  # such as a full disk under a log file
        return


def reader_has_gone() -> bool:
    """Whether standard output is a pipe that nobody reads any more, as after `dev.py start | head`."""
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
    """One line: what is done, and, when it is done, how long it took."""
    say(f"{what} ... ", end="")
    began = time.monotonic()
    try:
        yield
    except BaseException:
        say("failed")
        raise
    say(f"{time.monotonic() - began:.1f} s")


def tail(output: str, lines: int = 12) -> str:
    """The last lines that say something."""
    return "\n".join([line for line in output.splitlines() if line.strip()][-lines:])


def _print_nowhere() -> None:
    """What is still in the buffer would raise again when Python ends."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
