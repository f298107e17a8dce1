"""Fake programs on a PATH that contains nothing else, and signals that work."""

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

Script = Callable[[str, str], Path]

if hasattr(signal, "SIGHUP"):
    # A suite that was started with nohup would pass it on that this signal is ignored.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Script:
    """Make a program with this name from shell lines. PATH contains only such programs."""
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs))

    def make(name: str, lines: str) -> Path:
        program = programs / name
        program.write_text(f"#!/bin/sh\n{lines}\n")
        program.chmod(0o755)
        return program

    return make
