"""Carries a host's output into a pipe, and on into nothing when the pipe's reader has gone.

Otherwise every line that the host logs after `dev.py start | head` would be an error with a traceback.
"""

import os
import stat
import subprocess
import sys
import threading
from contextlib import suppress
from typing import Any


class Relay:
    """Between a child and standard output. Where this is a terminal or a file, the child writes to it directly."""

    def __init__(self) -> None:
        self.outputs: dict[str, Any] = {}
        with suppress(OSError, ValueError):
            out = os.fstat(sys.stdout.fileno())
            if stat.S_ISFIFO(out.st_mode):
                self.outputs["stdout"] = subprocess.PIPE
                if os.path.samestat(out, os.fstat(sys.stderr.fileno())):
                    self.outputs["stderr"] = subprocess.STDOUT

    def carry(self, process: subprocess.Popen[bytes]) -> None:
        """Carry until the child, and whatever it has started, has closed its output."""
        if process.stdout is not None:
            threading.Thread(target=_carry, args=(process.stdout.fileno(),), daemon=True).start()


def _carry(source: int) -> None:
    is_read = True
    while data := os.read(source, 1 << 16):
        while data and is_read:
            try:
                data = data[os.write(sys.stdout.fileno(), data) :]
            except OSError:
                is_read = False
