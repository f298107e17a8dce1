"""Finds a Python interpreter of a given version. Each candidate is run, because it may be broken."""

import os
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from devtools.console import Failure
from devtools.processes import run

OLDEST = (3, 11)
# The path is printed as hexadecimal digits, because the output's encoding may lack some of its characters.
PROBE = "import os, sys; print('%d.%d' % sys.version_info[:2], os.fsencode(sys.executable).hex())"
ANSWER = re.compile(r"^(\d+\.\d+) ([0-9a-f]+)\s*$", re.MULTILINE)


def running_version() -> str:
    """The version of the Python that runs dev.py, such as `3.12`."""
    return "{}.{}".format(*sys.version_info[:2])


def probe(command: Sequence[str], root: Path) -> tuple[str, str]:
    """The version and path of the interpreter that the command starts. Both are empty if it does not start one."""
    done = run([*command, "-c", PROBE], cwd=root, timeout=30)
    answer = ANSWER.search(done.stdout)
    if done.code or answer is None:
        return "", ""
    return answer[1], os.fsdecode(bytes.fromhex(answer[2]))


def find(version: str, root: Path) -> str:
    """The path of an interpreter of this version. `Failure` if there is none.

    The candidates are the Python that runs dev.py, PATH, pyenv, and the Windows launcher.
    """
    if not re.fullmatch(r"3\.\d+", version) or tuple(map(int, version.split("."))) < OLDEST:
        raise Failure(f"--python {version}: give a version from 3.11 on, such as --python 3.12")
    for command in _candidates(version):
        candidate_version, path = probe(command, root)
        if candidate_version == version:
            return path
    raise Failure(f"No Python {version} found: install it, so that python{version} is on PATH or in pyenv")


def _candidates(version: str) -> Iterator[list[str]]:
    if version == running_version():
        yield [sys.executable]
    on_path = shutil.which(f"python{version}")
    if on_path:
        yield [on_path]
    versions = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    for folder in sorted(versions.glob(f"{version}.*"), key=_release, reverse=True):
        yield [str(folder / "bin" / "python")]
    if shutil.which("py"):
        yield ["py", f"-{version}"]


def _release(folder: Path) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", folder.name))
