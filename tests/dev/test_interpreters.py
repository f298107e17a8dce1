import os
import sys
import venv
from pathlib import Path

import pytest

from devtools import interpreters
from devtools.console import Failure
from tests.dev.conftest import Script

NOT_UTF_8 = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", "PYTHONIOENCODING": "latin-1"}
OTHER = "3.12" if interpreters.running_version() != "3.12" else "3.13"


@pytest.fixture(autouse=True)
def pyenv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of pyenv, with no versions in it."""
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    return tmp_path / "pyenv" / "versions"


def answer(version: str, path: str) -> str:
    """Shell lines that print what an interpreter of this version at this path prints."""
    return f"echo {version} {os.fsencode(path).hex()}"


def install(pyenv: Path, release: str, lines: str) -> None:
    """Put an interpreter where pyenv would."""
    program = pyenv / release / "bin" / "python"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!/bin/sh\n{lines}\n")
    program.chmod(0o755)


@pytest.mark.usefixtures("script")
def test_the_running_python_is_found_without_a_search(tmp_path: Path) -> None:
    """It does not have to be on PATH."""
    assert interpreters.find(interpreters.running_version(), tmp_path) == sys.executable


def test_a_python_on_path_is_found(tmp_path: Path, script: Script) -> None:
    """Its name contains the version, and the program itself prints its path."""
    script(f"python{OTHER}", answer(OTHER, "/opt/it/python"))
    assert interpreters.find(OTHER, tmp_path) == "/opt/it/python"


def test_a_shim_that_leads_nowhere_is_passed_over(tmp_path: Path, script: Script, pyenv: Path) -> None:
    """Pyenv puts a shim on PATH for every version that it has, even for versions that are not active."""
    script(f"python{OTHER}", "echo 'command not found'; exit 127")
    install(pyenv, f"{OTHER}.1", answer(OTHER, "/pyenv/python"))
    assert interpreters.find(OTHER, tmp_path) == "/pyenv/python"


@pytest.mark.usefixtures("script")
def test_the_newest_release_that_runs_is_taken(tmp_path: Path, pyenv: Path) -> None:
    """Numbers are compared as numbers, and a broken installation does not count."""
    for release in ("9", "10"):
        install(pyenv, f"{OTHER}.{release}", answer(OTHER, f"/release/{release}"))
    install(pyenv, f"{OTHER}.11", "exit 1")
    assert interpreters.find(OTHER, tmp_path) == "/release/10"


@pytest.mark.usefixtures("script")
def test_a_python_that_is_not_found_is_reported_in_one_line(tmp_path: Path) -> None:
    """The line contains the version."""
    with pytest.raises(Failure, match=rf"^No Python {OTHER} found: install it.*$"):
        interpreters.find(OTHER, tmp_path)


@pytest.mark.parametrize("version", ["3.10", "2.7", "3", "three", "3.12.1"])
def test_a_version_that_cannot_be_used_is_refused(tmp_path: Path, version: str) -> None:
    """These versions are too old, or are not two numbers."""
    with pytest.raises(Failure, match=r"give a version from 3\.11 on"):
        interpreters.find(version, tmp_path)


def test_what_python_says_at_its_start_is_not_its_version(tmp_path: Path, script: Script) -> None:
    """A site hook or a wrapper may print a line, on either output."""
    script(f"python{OTHER}", f"echo 'using cached 1.1' >&2; echo welcome; {answer(OTHER, '/opt/python')}")
    assert interpreters.find(OTHER, tmp_path) == "/opt/python"


def test_a_path_is_found_that_the_terminal_cannot_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The interpreter is in a folder whose name is not ASCII, and the terminal is not UTF-8."""
    for name, value in NOT_UTF_8.items():
        monkeypatch.setenv(name, value)
    link = tmp_path / "Jörg" / "env"
    venv.create(link, symlinks=True)
    version, path = interpreters.probe([str(link / "bin" / "python")], tmp_path)
    assert (version, path) == (interpreters.running_version(), str(link / "bin" / "python"))
