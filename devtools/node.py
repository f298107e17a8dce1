"""Finds Node, and installs Azurite with npm in the version of the lock file."""

import json
import re
import shutil
from pathlib import Path

from devtools import stamp
from devtools.azurite import PROGRAM
from devtools.console import Failure, say, step, tail
from devtools.installing import install
from devtools.processes import run

OLDEST_NODE = 20
NODE_PACKAGES = ("package.json", "package-lock.json")


def find_node(root: Path) -> str:
    """The path of Node; `Failure` if it is missing, broken or too old."""
    node = shutil.which("node")
    if node is None:
        raise Failure("Node is missing: install Node 20 or newer (https://nodejs.org), it runs Azurite")
    done = run([node, "--version"], cwd=root, timeout=30)
    version = re.search(r"^v(\d+)\.\S*$", done.stdout, re.MULTILINE)
    if version is None:
        raise Failure(f"`node --version` does not work ({tail(done.output, 1)}): install Node 20 or newer")
    if int(version[1]) < OLDEST_NODE:
        raise Failure(f"Node 20 or newer is needed, this is {version[0]}: https://nodejs.org has newer ones")
    return node


def ensure_azurite(root: Path, node: str, *, thoroughly: bool = False) -> None:
    """Install Azurite if it is missing or damaged. `thoroughly` also checks that Node can load it."""
    mark = root / "node_modules" / "dev-stamp"
    if stamp.is_fresh(mark, [root / name for name in NODE_PACKAGES]):
        lost = _lost_package(root) or (_failure_reason(root, node) if thoroughly else "")
        if not lost:
            return
        say(f"node_modules is damaged ({lost}): Azurite is installed again")
    install_azurite(root, node)


def install_azurite(root: Path, node: str) -> None:
    """Run `npm ci`, then check that Node can load Azurite."""
    npm = shutil.which("npm")
    if npm is None:
        raise Failure("npm is missing: it comes with Node from https://nodejs.org (Debian, Ubuntu: apt install npm)")
    mark = root / "node_modules" / "dev-stamp"
    with step("Azurite (npm ci)"), stamp.renewed(mark, [root / name for name in NODE_PACKAGES]):
        install("npm ci", [npm, "ci", "--include=dev", "--no-audit", "--no-fund"], root)
        why_not = _failure_reason(root, node)
        if why_not:
            raise Failure(f"npm reported success, but Azurite does not start: {why_not}")


def azurite_answers(root: Path, node: str) -> bool:
    """Whether Node can load Azurite."""
    return not _failure_reason(root, node)


def _failure_reason(root: Path, node: str) -> str:
    done = run([node, str(root / PROGRAM), "--version"], cwd=root, timeout=60)
    if done.code == 0 and re.search(r"^\d+\.\d+\.\d+", done.stdout, re.MULTILINE):
        return ""
    errors = [line for line in done.output.splitlines() if "Error" in line]
    return errors[0].strip() if errors else f"exit code {done.code}"


def _lost_package(root: Path) -> str:
    """The first package that npm has installed and that is no longer there; empty if there is none."""
    try:
        installed = json.loads((root / "node_modules" / ".package-lock.json").read_text(encoding="utf-8"))["packages"]
    except (OSError, ValueError, KeyError):
        return ".package-lock.json"
    return next((name for name in installed if not (root / name / "package.json").is_file()), "")
