"""`dev.py test` runs every check, even if an earlier check has failed, and prints the result in its last line."""

import argparse
import time
from pathlib import Path

from devtools.browser import HOW_TO_INSTALL, find_browser
from devtools.console import say
from devtools.packages import TEST
from devtools.processes import foreground, run
from devtools.workspace import Workspace, prepare

PROGRESS_OPTIONS = ("-p", "devtools.progress", "-o", "console_output_style=classic")
WHOLE_SUITE = (
    # Most tests wait for slots, so two cores can run four at a time. A module stays in one worker to share its host.
    (*PROGRESS_OPTIONS, "-n", "4", "--dist", "loadscope", "--no-loadscope-reorder", "-m", "not alone"),
    (*PROGRESS_OPTIONS, "tests/e2e", "-m", "alone"),
)


def check(root: Path, words: list[str]) -> int:
    """Check lint, formatting, types, import direction and tests. The exit code is 0 if all of them pass."""
    parser = argparse.ArgumentParser(
        prog="dev.py test",
        description="Lint, format, types, import direction, and the tests.",
        epilog="Every other argument goes to pytest: dev.py test -x tests/dev",
        allow_abbrev=False,
    )
    parser.add_argument("--python", metavar="3.X", default="", help="the Python to test with (default: this one)")
    options, for_pytest = parser.parse_known_args(words)
    workspace = prepare(root, needs=TEST, python_version=options.python)
    began = time.monotonic()
    failed = [name for name, command in _static_checks(workspace) if not _passes(name, command, workspace)]
    if find_browser() is None:
        say(f"No chromium or google-chrome is on PATH: the tests in a browser are skipped ({HOW_TO_INSTALL})")
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
    lint_imports = "import sys; from importlinter.cli import lint_imports_command; sys.exit(lint_imports_command())"
    return [
        ("ruff check", [python, "-m", "ruff", "check"]),
        ("ruff format", [python, "-m", "ruff", "format", "--check"]),
        ("mypy", [python, "-m", "mypy"]),
        ("lint-imports", [python, "-c", lint_imports]),
    ]


def _passes(name: str, command: list[str], workspace: Workspace) -> bool:
    """Run one check; show its output only if it fails."""
    say(f"{name} ... ", end="")
    began = time.monotonic()
    done = run(command, cwd=workspace.root, env=workspace.environment())
    say(f"{'ok' if done.code == 0 else 'FAILED'}, {time.monotonic() - began:.1f} s")
    if done.code:
        say(done.output.rstrip())
    return done.code == 0
