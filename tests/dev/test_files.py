import ast
import json
import shutil
import subprocess
from datetime import timedelta
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from devtools.azurite import ROOT
from devtools.cli import main

DEPLOYED = {"function_app.py", "ingest_core", "host.json", "requirements.txt"}
OURS = {"dev.py", "devtools", "emulator", "tests", "bench", "local.settings.json", "README.md"}
MADE = {".venv", ".venv-3.12", ".azurite", "node_modules", ".git", ".mypy_cache"}


def test_dev_py_parses_under_an_old_python() -> None:
    """Then dev.py can tell the user that this Python is too old."""
    ast.parse((ROOT / "dev.py").read_text(), feature_version=(3, 5))


def test_only_the_app_is_deployed() -> None:
    """Everything else in the repository's top folder, or made there later, is in `.funcignore`.

    Core Tools compares a pattern with the beginning of a path, so none may fit the app's own files.
    """
    patterns = (ROOT / ".funcignore").read_text().splitlines()
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    present = {line.split("/")[0] for line in tracked.splitlines()}  # none in a copy without git
    for name in (present | MADE | OURS) - DEPLOYED:
        assert any(fnmatchcase(name, pattern) for pattern in patterns), f"{name} would be deployed"
    for name in DEPLOYED:
        assert not any(fnmatchcase(name, f"{pattern}*") for pattern in patterns), f"{name} would be left out"


def test_local_settings_hold_emulator_values_only() -> None:
    """The file is in git, so it must not contain a secret. A host accepts only strings as values."""
    assert json.loads((ROOT / "local.settings.json").read_text()) == {
        "IsEncrypted": False,
        "Values": {"FUNCTIONS_WORKER_RUNTIME": "python", "AzureWebJobsStorage": "UseDevelopmentStorage=true"},
    }


def test_the_host_settings_are_those_that_the_service_needs() -> None:
    """Routes have no prefix, the timer runs again soon after a crash, and no bundle is downloaded."""
    host = json.loads((ROOT / "host.json").read_text())
    assert host["version"] == "2.0"
    assert host["extensions"]["http"]["routePrefix"] == ""
    assert set(host["singleton"].values()) == {str(timedelta(seconds=15)).zfill(8)}
    assert "extensionBundle" not in host
    # A tick may wait ten seconds for its slot, and for the API as long as 300 s; a Consumption plan would end it then.
    assert host["functionTimeout"] == "00:10:00"


@pytest.mark.parametrize("is_root", [True, False])
def test_the_build_installs_a_browser_and_runs_dev_py_test(tmp_path: Path, *, is_root: bool) -> None:
    """The build goes on if the browser cannot be installed. Without root it uses sudo, without a question."""
    (tmp_path / ".ci").mkdir()
    shutil.copy2(ROOT / ".ci" / "run", tmp_path / ".ci")
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("bash", "dirname", "env"):
        (programs / name).symlink_to(str(shutil.which(name)))
    (programs / "id").write_text(f"#!/bin/sh\necho {0 if is_root else 1000}\n")
    for name in ("apt-get", "sudo", "python3"):
        code = 0 if name == "python3" else 1
        (programs / name).write_text(f'#!/bin/sh\necho "{name} $*" >> {tmp_path}/asked\nexit {code}\n')
    for program in programs.iterdir():
        if not program.is_symlink():
            program.chmod(0o755)
    done = subprocess.run([tmp_path / ".ci" / "run"], env={"PATH": str(programs)}, capture_output=True, check=False)
    assert done.returncode == 0
    assert b"chromium cannot be installed" in done.stdout
    asked = (tmp_path / "asked").read_text().splitlines()
    assert asked == ["apt-get update" if is_root else "sudo -n apt-get update", "python3 dev.py test"]


@pytest.mark.parametrize(("words", "code"), [([], 2), (["strat"], 2), (["--help"], 0)])
def test_without_a_command_the_commands_are_listed(
    words: list[str], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """The exit code is 0 if the user asked for help, else 2."""
    assert main(words) == code
    shown = capsys.readouterr().out
    assert all(f"  {name} " in shown for name in ("start", "test", "reset", "audit", "soak", "bench"))


def test_for_an_unknown_command_a_similar_one_is_suggested(capsys: pytest.CaptureFixture[str]) -> None:
    """If no command is similar, the line says only that there is no such command."""
    main(["strat"])
    assert capsys.readouterr().out.startswith("dev.py has no command 'strat'. Did you mean `dev.py start`?\n")
    main(["xyzzy"])
    assert capsys.readouterr().out.startswith("dev.py has no command 'xyzzy'.\n")
