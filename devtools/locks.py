"""Keeps two runs of dev.py in one checkout from writing to the same folder at the same time."""

import errno
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from devtools.console import Failure, say

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl


# The errors for a lock that another process holds. Any other error means that the file system has no locks.
TAKEN = (errno.EAGAIN, errno.EWOULDBLOCK, errno.EACCES, errno.EDEADLK, getattr(errno, "EDEADLOCK", errno.EDEADLK))


@contextmanager
def locked(path: Path, *, holder: str, patience: float, busy_message: str, waiting_message: str = "") -> Iterator[int]:
    """Lock the file and write `holder` into it; yields its descriptor.

    Children that inherit the descriptor keep the lock until the last of them has ended (not on Windows).
    If another run has the lock, `waiting_message` is printed once. After `patience` seconds `busy_message` is raised as
    a `Failure`, with `{holder}` replaced by what the other run has written into the file.
    On a file system without locks, a warning is printed and the command goes on.
    """
    path.parent.mkdir(exist_ok=True)
    with path.open("a+") as file:
        deadline = time.monotonic() + patience
        while not _try_lock(file.fileno(), path):
            if time.monotonic() >= deadline:
                file.seek(0)
                raise Failure(busy_message.format(holder=file.read().strip()))
            if waiting_message:
                say(waiting_message)
                waiting_message = ""
            time.sleep(0.1)
        file.truncate(0)
        file.write(holder)
        file.flush()
        yield file.fileno()


def _try_lock(descriptor: int, path: Path) -> bool:
    try:
        if sys.platform == "win32":
            os.lseek(descriptor, 1 << 20, os.SEEK_SET)  # others cannot read a locked byte, so lock one after the text
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in TAKEN:
            return False
        say(
            f"WARNING: the file system of {path.parent} has no locks ({error.strerror}), so dev.py cannot see whether "
            "another one runs in this checkout: do not start two"
        )
    return True
