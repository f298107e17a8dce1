"""What a run of the whole suite prints, under xdist and without it."""

import subprocess
import sys
from pathlib import Path

import pytest

from devtools.azurite import ROOT

TESTS = {
    "test_first.py": "def test_a(): pass\ndef test_b(): pass\n",
    "test_second.py": "import pytest\ndef test_c(): assert 0\ndef test_d(): pytest.skip('no')\n",
}


@pytest.mark.parametrize("options", [[], ["-n", "2", "--dist", "loadscope"]])
def test_every_module_is_announced_and_reported(tmp_path: Path, options: list[str]) -> None:
    """There is a line when a module starts, a line for each failure, and a line when the module has ended."""
    for name, text in TESTS.items():
        (tmp_path / name).write_text(text)
    pytest_ = [sys.executable, "-m", "pytest", "-p", "devtools.progress", "-o", "console_output_style=classic"]
    command = [*pytest_, "-p", "no:cacheprovider", "--rootdir", str(tmp_path), *options, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert "test_first.py: 2 tests\n" in done.stdout, done.stdout + done.stderr
    assert "test_first.py: 2 passed in 0 s\n" in done.stdout
    assert "FAILED test_second.py::test_c\n" in done.stdout
    assert "test_second.py: 1 failed, 1 skipped in 0 s\n" in done.stdout
    assert "[100%] " in done.stdout
    assert "1 failed, 2 passed, 1 skipped" in done.stdout
