"""Two runs in one checkout never write to the same folder: the second waits a little, then says who is there."""

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


# What the systems answer when somebody else holds the lock. Any other error says that there are no locks here.
TAKEN = (errno.EAGAIN, errno.EWOULDBLOCK, errno.EACCES, errno.EDEADLK, getattr(errno, "EDEADLOCK", errno.EDEADLK))


@contextmanager
def locked(path: Path, *, holder: str, patience: float, refusal: str, notice: str = "") -> Iterator[int]:
    """Hold the lock file; gives its descriptor.

    Where the lock is inherited with the descriptor (not on Windows), it lasts until the last heir has ended.
    After `patience` seconds the failure is `refusal`, with what the other run has written as its `holder` filled in.
    On a file system without locks a line says so, and the command goes on.
    """
    path.parent.mkdir(exist_ok=True)
    with path.open("a+") as file:
        deadline = time.monotonic() + patience
        while not _try_lock(file.fileno(), path):
            if time.monotonic() >= deadline:
                file.seek(0)
                raise Failure(refusal.format(holder=file.read().strip()))
            if notice:
                say(notice)
                notice = ""
            time.sleep(0.1)
        file.truncate(0)
        file.write(holder)
        file.flush()
        yield file.fileno()


def _try_lock(descriptor: int, path: Path) -> bool:
    try:
        if sys.platform == "win32":
            os.lseek(descriptor, 1 << 20, os.SEEK_SET)  # a locked byte cannot be read: not one of the holder's text
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
