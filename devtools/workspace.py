"""Sets up what is missing: the virtual environment, its packages, and Azurite.

Each step that installs something writes a stamp of its source files. A later run skips the steps with a valid stamp and
repeats a step that was interrupted.
"""

import os
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from devtools import interpreters
from devtools.console import Failure, step, tail
from devtools.environment import inheritable
from devtools.installing import disk_is_full
from devtools.locks import locked
from devtools.node import ensure_azurite, find_node
from devtools.packages import START, TEST, Needs, ensure_packages, site_packages
from devtools.processes import run


@dataclass(frozen=True, kw_only=True)
class Workspace:
    """A checkout that is set up, with the paths of its interpreter and of Node (empty if Azurite is not needed)."""

    root: Path
    python: Path
    node: str

    def environment(self) -> dict[str, str]:
        """Environment variables that put the virtual environment first on PATH, where `func` looks for Python."""
        path = os.pathsep.join([str(self.python.parent), os.environ.get("PATH", os.defpath)])
        venv = str(self.python.parent.parent)
        return {**inheritable(os.environ), "PATH": path, "VIRTUAL_ENV": venv, "PYTHONUNBUFFERED": "1"}


def prepare(root: Path, *, needs: Needs = TEST, python_version: str = "", needs_azurite: bool = True) -> Workspace:
    """Set up the workspace. Another `python_version` than the running one gets its own virtual environment."""
    node = find_node(root) if needs_azurite else ""
    version = python_version or interpreters.running_version()
    base = interpreters.find(version, root)
    with locked(
        root / ".azurite" / "setup.lock",
        holder=str(os.getpid()),
        patience=900,
        waiting_message="Another dev.py is setting up this checkout: waiting for it",
        busy_message="Another dev.py (process {holder}) has been setting up for 15 minutes: end it and run this again",
    ):
        python = ensure_environment(root, root / _folder(needs, version), version, base)
        ensure_packages(root, python, needs)
        if needs_azurite:
            ensure_azurite(root, node, thoroughly=needs != START)
    return Workspace(root=root, python=python, node=node)


def _folder(needs: Needs, version: str) -> str:
    if needs not in (START, TEST):
        return ".venv-audit"
    return ".venv" if version == interpreters.running_version() else f".venv-{version}"


def ensure_environment(root: Path, folder: Path, version: str, base: str) -> Path:
    """The interpreter of a virtual environment with this version and with pip. A broken environment is made again."""
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    if os.path.lexists(folder):
        if _made_with(folder) == version == interpreters.probe([str(python)], root)[0]:
            _ensure_pip(root, python, version)
            return python
        _remove_environment(folder)
    with step(f"Virtual environment {folder.name} (Python {version})"):
        done = run([base, "-m", "venv", str(folder)], cwd=root)
        if done.code:
            failure = Failure(_failure_message(done.output, version, root), output=tail(done.output))
            shutil.rmtree(folder, ignore_errors=True)
            raise failure
    return python


def _ensure_pip(root: Path, python: Path, version: str) -> None:
    """Add pip if it is missing: some tools make environments without it."""
    folder = python.parent.parent.name
    if any(site_packages(python).glob("pip-*.dist-info")):
        return
    with step(f"pip, which {folder} does not have"):
        done = run([str(python), "-m", "ensurepip", "--upgrade", "--default-pip"], cwd=root)
        if done.code:
            raise Failure(
                f"{folder} has no pip, and Python {version} cannot add it: remove {folder}, then run this again",
                output=tail(done.output),
            )


def _failure_message(output: str, version: str, root: Path) -> str:
    if "ensurepip is not" in output or "No module named" in output:
        package = f"python{version}-venv"
        return f"Python {version} has no venv: install it (Debian, Ubuntu: apt install {package}), then run this again"
    if disk_is_full(output, root):
        return "The virtual environment was not made, the disk is full: free some space, then run this again"
    return f"The virtual environment was not made: see above why Python {version} could not make it"


def _made_with(folder: Path) -> str:
    """The version that a virtual environment was made with; empty if the folder is not a virtual environment."""
    try:
        settings = (folder / "pyvenv.cfg").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    version = re.search(r"^version(?:_info)?\s*=\s*(\d+\.\d+)", settings, re.MULTILINE)
    return version[1] if version else ""


def _remove_environment(folder: Path) -> None:
    """Remove a virtual environment. `Failure` if the folder is anything else, because it could not be made again."""
    if folder.is_symlink() or folder.is_file():
        raise Failure(f"{folder.name} is not a virtual environment that works: move it away, then run this again")
    if any(folder.iterdir()) and not (folder / "pyvenv.cfg").is_file():
        raise Failure(f"{folder.name} is not a virtual environment: move it away, then run this again")
    shutil.rmtree(folder)
