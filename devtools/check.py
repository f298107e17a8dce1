"""`dev.py test`: every check runs, whatever became of the one before, and one line at the end says how it went."""

import argparse
import shutil
import time
from pathlib import Path

from devtools.console import say
from devtools.processes import foreground, run
from devtools.workspace import Workspace, prepare

WHOLE_SUITE = (
    # Most tests wait for slots, so two cores carry three at a time; a module's tests share their host.
    ("-n", "3", "--dist", "loadscope", "--no-loadscope-reorder", "-m", "not alone"),
    ("-m", "alone"),
)


def check(root: Path, words: list[str]) -> int:
    """Lint, formatting, types, import direction and tests. Exit code 0 when all are in order."""
    parser = argparse.ArgumentParser(
        prog="dev.py test",
        description="Lint, format, types, import direction, and the tests.",
        epilog="Every other argument goes to pytest: dev.py test -x tests/dev",
        allow_abbrev=False,
    )
    parser.add_argument("--python", metavar="3.X", default="", help="the Python to test with (default: this one)")
    options, for_pytest = parser.parse_known_args(words)
    workspace = prepare(root, python_version=options.python)
    began = time.monotonic()
    failed = [name for name, command in _static_checks(workspace) if not _passes(name, command, root)]
    python, env = str(workspace.python), workspace.environment()
    failed += [
        f"pytest {' '.join(arguments[-2:])}"
        for arguments in ([for_pytest] if for_pytest else WHOLE_SUITE)
        if foreground([python, "-m", "pytest", *arguments], cwd=root, env=env)
    ]
    verdict = f"FAILED: {', '.join(failed)}" if failed else "All in order: lint, format, types, imports, tests"
    say(f"{verdict} ({time.monotonic() - began:.0f} s)")
    return 1 if failed else 0


def _static_checks(workspace: Workspace) -> list[tuple[str, list[str]]]:
    python = str(workspace.python)
    lint_imports = shutil.which("lint-imports", path=str(workspace.python.parent)) or "lint-imports"
    return [
        ("ruff check", [python, "-m", "ruff", "check"]),
        ("ruff format", [python, "-m", "ruff", "format", "--check"]),
        ("mypy", [python, "-m", "mypy"]),
        ("lint-imports", [lint_imports]),
    ]


def _passes(name: str, command: list[str], root: Path) -> bool:
    """Run one check; only one that finds something shows its output."""
    say(f"{name} ... ", end="")
    began = time.monotonic()
    code, output = run(command, cwd=root)
    say(f"{'ok' if code == 0 else 'FAILED'}, {time.monotonic() - began:.1f} s")
    if code:
        say(output.rstrip())
    return code == 0
