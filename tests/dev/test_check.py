from pathlib import Path

import pytest

from devtools import check
from devtools.workspace import Workspace
from tests.dev.conftest import Script


@pytest.fixture
def asked(tmp_path: Path, script: Script, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with the arguments of every call. The tools named in the file `broken` fail, and all others succeed."""
    tool = (
        f'echo "$@" >> {tmp_path}/asked; while read -r name; do case "$*" in *"$name"*) echo found; exit 1;; esac; done'
    )
    python = script("python", f"{tool} < {tmp_path}/broken")
    (tmp_path / "broken").touch()
    workspace = Workspace(root=tmp_path, python=python, node="node")
    monkeypatch.setattr(check, "prepare", lambda _root, **_: workspace)
    return tmp_path / "asked"


def test_every_check_runs_and_pytest_gets_the_other_arguments(
    asked: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Pytest gets them in their original order."""
    assert check.check(tmp_path, ["-k", "a or b", "tests/dev", "-x", "--python", "3.12", "--lf"]) == 0
    assert asked.read_text().splitlines() == [
        "-m ruff check",
        "-m ruff format --check",
        "-m mypy",
        "-c import sys; from importlinter.cli import lint_imports_command; sys.exit(lint_imports_command())",
        "-m pytest -k a or b tests/dev -x --lf",
    ]
    assert capfd.readouterr().out.splitlines()[-1].startswith("All in order")


@pytest.mark.parametrize(
    ("broken", "named"),
    [
        *[(name, name) for name in ("ruff check", "ruff format", "mypy")],
        ("importlinter", "lint-imports"),
        ("not alone", "pytest -m not alone"),
        ("-m alone", "pytest -m alone"),
    ],
)
def test_a_failed_check_fails_the_run_and_stops_no_other_check(
    asked: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], broken: str, named: str
) -> None:
    """The last line names what failed, and its output is shown."""
    (tmp_path / "broken").write_text(f"{broken}\n")
    assert check.check(tmp_path, []) == 1
    assert len(asked.read_text().splitlines()) == 6
    shown = capfd.readouterr().out
    assert shown.count("found") == 1
    assert shown.splitlines()[-1].startswith(f"FAILED: {named} (")
