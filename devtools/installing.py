"""Runs an installer, shows its progress, and says in one line why it failed."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from devtools.console import Failure, tail
from devtools.environment import inheritable
from devtools.processes import ask_to_end, spawn

DISK_SIGNS = ("No space left on device", "ENOSPC", "not enough space")
NETWORK_SIGNS = (
    *("ENOTFOUND", "ECONNREFUSED", "ECONNRESET", "ETIMEDOUT", "EAI_AGAIN", "ENETUNREACH", "network request"),
    *("NewConnectionError", "ConnectTimeoutError", "ReadTimeoutError", "NameResolutionError", "Max retries exceeded"),
    *("ProxyError", "Temporary failure in name resolution", "Connection refused", "Network is unreachable"),
)


def install(
    name: str, command: Sequence[str], root: Path, *, progress: Callable[[str], None] = lambda _printed: None
) -> None:
    """Run the installer; `Failure` if it fails. `progress` is called repeatedly with all output so far."""
    with TemporaryDirectory() as folder:
        log = Path(folder, "log")
        try:
            with log.open("wb") as printed:
                process = spawn(
                    command,
                    cwd=root,
                    env=inheritable(os.environ),
                    stdin=subprocess.DEVNULL,
                    stdout=printed,
                    stderr=subprocess.STDOUT,
                    parent_death_signal=signal.SIGTERM,
                )
        except OSError as error:
            raise Failure(f"{name} cannot be started: {error}") from None
        _follow(process, log, progress)
        output = _text(log)
    if process.returncode:
        raise Failure(failure_message(output, name, root), output=tail(output))


def _follow(process: subprocess.Popen[bytes], log: Path, progress: Callable[[str], None]) -> None:
    try:
        while process.poll() is None:
            time.sleep(0.1)
            progress(_text(log))
    except KeyboardInterrupt:
        ask_to_end(process)
        process.wait(10)
        raise


def failure_message(output: str, name: str, root: Path) -> str:
    """Say why an installer has failed and what to do, judging by its output."""
    if disk_is_full(output, root):
        return f"{name} failed, the disk is full: free some space, then run this again"
    if any(sign in output for sign in NETWORK_SIGNS):
        return f"{name} failed, it did not reach its server (see above): check the network connection and the proxy"
    last = tail(output, 1).strip() or "it printed nothing"
    return f"{name} failed: {last}"


def disk_is_full(output: str, root: Path) -> bool:
    """Whether the output says so or the disk is full now. The output is not enough: venv hides what its pip printed."""
    return any(sign in output for sign in DISK_SIGNS) or shutil.disk_usage(root).free < 10_000_000


def _text(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace")
