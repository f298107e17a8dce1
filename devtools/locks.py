"""Two runs in one checkout never write to the same folder: the second waits a little, then says who is there."""

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


@contextmanager
def locked(path: Path, *, holder: str, patience: float, refusal: str, notice: str = "") -> Iterator[int]:
    """Hold the lock file; gives its descriptor.

    Where the lock is inherited with the descriptor (not on Windows), it lasts until the last heir has ended.
    After `patience` seconds the failure is `refusal`, with what the other run has written as its `holder` appended.
    """
    path.parent.mkdir(exist_ok=True)
    with path.open("a+") as file:
        deadline = time.monotonic() + patience
        while not _try_lock(file.fileno()):
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


def _try_lock(descriptor: int) -> bool:
    try:
        if sys.platform == "win32":
            os.lseek(descriptor, 1 << 20, os.SEEK_SET)  # a locked byte cannot be read: not one of the holder's text
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
