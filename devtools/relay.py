"""Copies a host's output to a pipe, and discards it once the pipe's reader has ended.

Otherwise, after `dev.py start | head`, every line that the host logs would raise an error with a traceback.
"""

import os
import stat
import subprocess
import sys
import threading
from contextlib import suppress
from typing import Any


class Relay:
    """Copies between a child and standard output. If that is a terminal or a file, the child writes to it directly."""

    def __init__(self) -> None:
        self.outputs: dict[str, Any] = {}
        with suppress(OSError, ValueError):
            out = os.fstat(sys.stdout.fileno())
            if stat.S_ISFIFO(out.st_mode):
                self.outputs["stdout"] = subprocess.PIPE
                if os.path.samestat(out, os.fstat(sys.stderr.fileno())):
                    self.outputs["stderr"] = subprocess.STDOUT

    def carry(self, process: subprocess.Popen[bytes]) -> None:
        """Copy in a thread until the child and everything that it has started have closed their output."""
        if process.stdout is not None:
            threading.Thread(target=_carry, args=(process.stdout.fileno(),), daemon=True).start()


def _carry(source: int) -> None:
    has_reader = True
    while data := os.read(source, 1 << 16):
        while data and has_reader:
            try:
                written = os.write(sys.stdout.fileno(), data)
                data = data[written:]
            except OSError:
                has_reader = False
