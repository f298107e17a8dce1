"""Sets up what is missing, once: the virtual environment, its packages, and Azurite.

Each step leaves a stamp of what it worked from, so that a second run skips it, and one that was cut off is repeated.
"""

import os
import re
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from devtools import interpreters, stamp
from devtools.console import Failure, step, tail
from devtools.locks import locked
from devtools.processes import run

OLDEST_NODE = 20
PACKAGES = ("requirements.txt", "requirements-dev.txt")
NODE_PACKAGES = ("package.json", "package-lock.json")


@dataclass(frozen=True, kw_only=True)
class Workspace:
    """A checkout that is set up: the environment's interpreter and Node, by path."""

    root: Path
    python: Path
    node: str

    def environment(self) -> dict[str, str]:
        """Process variables under which `python` is the environment's: `func` looks for it there."""
        path = os.pathsep.join([str(self.python.parent), os.environ.get("PATH", os.defpath)])
        venv = str(self.python.parent.parent)
        return {**os.environ, "PATH": path, "VIRTUAL_ENV": venv, "PYTHONUNBUFFERED": "1"}


def prepare(root: Path, *, python_version: str = "") -> Workspace:
    """The workspace, set up; `python_version` other than the running one has an environment of its own."""
    node = find_node(root)
    version = python_version or interpreters.running()
    base = interpreters.find(version, root)
    folder = root / (".venv" if version == interpreters.running() else f".venv-{version}")
    with locked(
        root / ".azurite" / "setup.lock",
        holder=str(os.getpid()),
        patience=900,
        notice="Another dev.py is setting up this checkout: waiting for it",
        refusal="Another dev.py (process {holder}) has been setting up for 15 minutes: end it, then run this again",
    ):
        python = ensure_environment(root, folder, version, base)
        ensure_packages(root, python)
        ensure_azurite(root)
    return Workspace(root=root, python=python, node=node)


def find_node(root: Path) -> str:
    """The path of a Node that is new enough."""
    node = shutil.which("node")
    if node is None:
        raise Failure("Node is missing: install Node 20 or newer (https://nodejs.org), it runs Azurite")
    _, output = run([node, "--version"], cwd=root, timeout=30)
    version = re.match(r"v(\d+)\.", output)
    if version is None:
        raise Failure(f"`node --version` does not work ({tail(output, 1)}): install Node 20 or newer")
    if int(version[1]) < OLDEST_NODE:
        raise Failure(f"Node 20 or newer is needed, this is {output.strip()}: https://nodejs.org has newer ones")
    return node


def ensure_environment(root: Path, folder: Path, version: str, base: str) -> Path:
    """The interpreter of a virtual environment that works and is of this version; one that is not is made again."""
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    if os.path.lexists(folder):
        if _made_with(folder) == version == interpreters.probe([str(python)], root)[0]:
            return python
        _remove_environment(folder)
    with step(f"Virtual environment {folder.name} (Python {version})"):
        code, output = run([base, "-m", "venv", str(folder)], cwd=root)
        if code:
            failure = Failure(_why_no_environment(output, version, root), output=tail(output))
            shutil.rmtree(folder, ignore_errors=True)
            raise failure
    return python


def ensure_packages(root: Path, python: Path) -> None:
    """The Python packages of both requirement files."""
    sources = [root / name for name in PACKAGES]
    mark = python.parent.parent / "dev-stamp"
    if stamp.fresh(mark, sources):
        return
    with step("Python packages"), stamp.renewed(mark, sources):
        pip = [str(python), "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--progress-bar=off"]
        _install("pip install", [*pip, "-r", "requirements-dev.txt"], root)


def ensure_azurite(root: Path) -> None:
    """Azurite, from npm, as the lock file has it."""
    sources = [root / name for name in NODE_PACKAGES]
    mark = root / "node_modules" / "dev-stamp"
    if stamp.fresh(mark, sources):
        return
    npm = shutil.which("npm")
    if npm is None:
        raise Failure("npm is missing: it comes with Node from https://nodejs.org (Debian, Ubuntu: apt install npm)")
    with step("Azurite (npm ci)"), stamp.renewed(mark, sources):
        _install("npm ci", [npm, "ci", "--include=dev", "--no-audit", "--no-fund"], root)


def _install(name: str, command: Sequence[str], root: Path) -> None:
    code, output = run(command, cwd=root)
    if code:
        raise Failure(_why_not_installed(output, name, root), output=tail(output))


def _why_not_installed(output: str, name: str, root: Path) -> str:
    if _disk_is_full(output, root):
        return f"{name} failed, the disk is full: free some space, then run this again"
    return f"{name} failed, its last words are above: check the network connection, then run this again"


def _why_no_environment(output: str, version: str, root: Path) -> str:
    if "ensurepip is not" in output or "No module named" in output:
        package = f"python{version}-venv"
        return f"Python {version} has no venv: install it (Debian, Ubuntu: apt install {package}), then run this again"
    if _disk_is_full(output, root):
        return "The virtual environment was not made, the disk is full: free some space, then run this again"
    return f"The virtual environment was not made: see above why Python {version} could not make it"


def _disk_is_full(output: str, root: Path) -> bool:
    """By what was said, or by looking: venv does not pass on what its own pip said."""
    said = any(sign in output for sign in ("No space left on device", "ENOSPC", "not enough space"))
    return said or shutil.disk_usage(root).free < 10_000_000


def _made_with(folder: Path) -> str:
    """The version that a virtual environment was made with; empty when it is none."""
    try:
        settings = (folder / "pyvenv.cfg").read_text(encoding="utf-8")
    except OSError:
        return ""
    version = re.search(r"^version(?:_info)?\s*=\s*(\d+\.\d+)", settings, re.MULTILINE)
    return version[1] if version else ""


def _remove_environment(folder: Path) -> None:
    """Remove what can be made again, and nothing else."""
    if folder.is_symlink() or folder.is_file():
        raise Failure(f"{folder.name} is not a virtual environment that works: move it away, then run this again")
    if any(folder.iterdir()) and not (folder / "pyvenv.cfg").is_file():
        raise Failure(f"{folder.name} is not a virtual environment: move it away, then run this again")
    shutil.rmtree(folder)
