"""`dev.py audit`: known problems in the Python packages, the npm packages and the infrastructure's files.

A finding fails the audit. A service that cannot be reached is no finding: its check is reported as not run.
"""

import argparse
import json
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devtools.console import say, tail
from devtools.packages import AUDIT
from devtools.processes import Done, run
from devtools.workspace import Workspace, prepare


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """How one check went. `why_not_run` is empty when it ran."""

    findings: Sequence[str] = ()
    why_not_run: str = ""


def audit(root: Path, words: list[str]) -> int:
    """Run every check. Exit code 1 when one of them has found something."""
    argparse.ArgumentParser(prog="dev.py audit", description="Look for known security problems.").parse_args(words)
    workspace = prepare(root, needs=AUDIT, needs_azurite=False)
    failed = False
    for name, inspect in (("checkov", _checkov), ("pip-audit", _pip_audit), ("npm audit", _npm_audit)):
        verdict = inspect(workspace)
        failed = failed or bool(verdict.findings)
        if verdict.why_not_run:
            say(f"{name}: NOT RUN, {verdict.why_not_run}")
        else:
            say(f"{name}: {f'{len(verdict.findings)} findings' if verdict.findings else 'ok'}")
        for finding in verdict.findings:
            say(f"  {finding}")
    return 1 if failed else 0


def _checkov(workspace: Workspace) -> Verdict:
    """The rules for Bicep, without a look-up of their descriptions; `.checkov.yaml` says what is skipped, and why."""
    if not (workspace.root / "infra").is_dir():
        return Verdict(why_not_run="there is no infra/")
    config = workspace.root / ".checkov.yaml"
    options = ["--config-file", str(config)] if config.is_file() else ["--framework", "bicep"]
    program = [str(workspace.python), "-m", "checkov.main", "--directory", "infra", "--skip-download"]
    return checkov_verdict(_run([*program, *options, "--output", "json", "--quiet"], workspace))


def checkov_verdict(done: Done) -> Verdict:
    """Read its report: one document, or a list of them when several frameworks were looked at."""
    document = _json(done.stdout)
    if document is None:
        return Verdict(why_not_run=_last_words(done))
    found = []
    for report in document if isinstance(document, list) else [document]:
        for each in report.get("results", {}).get("failed_checks", []):
            where = f"{each['file_path']}:{each['file_line_range'][0]}"
            found.append(f"{each['check_id']} {each['check_name']} ({where}, {each['resource']})")
        found += [f"{name} cannot be parsed" for name in report.get("results", {}).get("parsing_errors", [])]
    return Verdict(findings=found)


def _pip_audit(workspace: Workspace) -> Verdict:
    command = [str(workspace.python), "-m", "pip_audit", "-r", "requirements.txt", "--format", "json"]
    return pip_audit_verdict(_run([*command, "--progress-spinner", "off"], workspace))


def pip_audit_verdict(done: Done) -> Verdict:
    """Read its report; without one, it could not reach its service."""
    document = _json(done.stdout)
    if not isinstance(document, dict) or "dependencies" not in document:
        return Verdict(why_not_run=_last_words(done))
    return Verdict(
        findings=[
            f"{package['name']} {package['version']}: {known['id']}, fixed in {', '.join(known['fix_versions']) or '-'}"
            for package in document["dependencies"]
            for known in package.get("vulns", [])
        ]
    )


def _npm_audit(workspace: Workspace) -> Verdict:
    npm = shutil.which("npm")
    if npm is None:
        return Verdict(why_not_run="npm is not on PATH")
    return npm_audit_verdict(_run([npm, "audit", "--json"], workspace))


def npm_audit_verdict(done: Done) -> Verdict:
    """Read its report; one without `vulnerabilities` says why the registry did not answer."""
    document = _json(done.stdout)
    if not isinstance(document, dict) or "vulnerabilities" not in document:
        message = document.get("message") if isinstance(document, dict) else ""
        return Verdict(why_not_run=str(message or _last_words(done)))
    return Verdict(
        findings=[
            f"{name} {known['range']}: {known['severity']}" for name, known in document["vulnerabilities"].items()
        ]
    )


def _run(command: Sequence[str], workspace: Workspace) -> Done:
    return run(command, cwd=workspace.root, env=workspace.environment(), timeout=600)


def _json(text: str) -> Any:  # noqa: ANN401 - JSON is anything
    with suppress(ValueError):
        return json.loads(text)
    return None


def _last_words(done: Done) -> str:
    return tail(done.stderr or done.stdout, 1).strip()[:300] or f"it ended with exit code {done.code} and no report"
