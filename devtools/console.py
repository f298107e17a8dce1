"""What a person reads: one line for each step, and one line for whatever goes wrong, saying what to do."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class Failure(Exception):
    """Ends the command with a line that says what is wrong and what to do.

    `output` is the end of what a failed program printed; it is shown before the line.
    """

    def __init__(self, line: str, *, output: str = "") -> None:
        super().__init__(line)
        self.output = output


def say(text: str, *, end: str = "\n") -> None:
    """Print at once. A reader who has gone must not keep anything from being stopped in order."""
    with suppress(OSError):
        sys.stdout.write(text + end)
        sys.stdout.flush()


@contextmanager
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
