"""`dev.py audit` looks for known problems in the Python packages, the npm packages and the files in infra/.

A finding fails the audit. If a check cannot reach its service, it is reported as not run, and the audit does not fail.
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
from devtools.processes import ProgramResult, run
from devtools.workspace import Workspace, prepare


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The result of one check. `skip_reason` is empty if the check ran."""

    findings: Sequence[str] = ()
    skip_reason: str = ""


def audit(root: Path, words: list[str]) -> int:
    """Run every check. The exit code is 1 if any check has findings."""
    argparse.ArgumentParser(prog="dev.py audit", description="Look for known security problems.").parse_args(words)
    workspace = prepare(root, needs=AUDIT, needs_azurite=False)
    failed = False
    for name, inspect in (("checkov", _checkov), ("pip-audit", _pip_audit), ("npm audit", _npm_audit)):
        verdict = inspect(workspace)
        failed = failed or bool(verdict.findings)
        if verdict.skip_reason:
            say(f"{name}: NOT RUN, {verdict.skip_reason}")
        elif verdict.findings:
            say(f"{name}: {len(verdict.findings)} findings")
        else:
            say(f"{name}: ok")
        for finding in verdict.findings:
            say(f"  {finding}")
    return 1 if failed else 0


def _checkov(workspace: Workspace) -> Verdict:
    """Check the Bicep files offline. `.checkov.yaml` lists the rules that are skipped, with the reasons."""
    if not (workspace.root / "infra").is_dir():
        return Verdict(skip_reason="there is no infra/")
    config = workspace.root / ".checkov.yaml"
    options = ["--config-file", str(config)] if config.is_file() else ["--framework", "bicep"]
    program = [str(workspace.python), "-m", "checkov.main", "--directory", "infra", "--skip-download"]
    return checkov_verdict(_run([*program, *options, "--output", "json", "--quiet"], workspace))


def checkov_verdict(done: ProgramResult) -> Verdict:
    """Read checkov's report: one document, or a list of them if several frameworks were checked."""
    document = _json(done.stdout)
    if document is None:
        return Verdict(skip_reason=_failure_reason(done))
    reports = document if isinstance(document, list) else [document]
    findings = []
    for report in reports:
        results = report.get("results", {})
        for failed in results.get("failed_checks", []):
            where = f"{failed['file_path']}:{failed['file_line_range'][0]}"
            findings.append(f"{failed['check_id']} {failed['check_name']} ({where}, {failed['resource']})")
        findings += [f"{name} cannot be parsed" for name in results.get("parsing_errors", [])]
    return Verdict(findings=findings)


def _pip_audit(workspace: Workspace) -> Verdict:
    command = [str(workspace.python), "-m", "pip_audit", "-r", "requirements.txt", "--format", "json"]
    return pip_audit_verdict(_run([*command, "--progress-spinner", "off"], workspace))


def pip_audit_verdict(done: ProgramResult) -> Verdict:
    """Read pip-audit's report. If there is none, pip-audit could not reach its service."""
    document = _json(done.stdout)
    if not isinstance(document, dict) or "dependencies" not in document:
        return Verdict(skip_reason=_failure_reason(done))
    skipped = [package["skip_reason"] for package in document["dependencies"] if "skip_reason" in package]
    if skipped and len(skipped) == len(document["dependencies"]):
        return Verdict(skip_reason=f"no package could be looked up: {skipped[0]}")
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
        return Verdict(skip_reason="npm is not on PATH")
    return npm_audit_verdict(_run([npm, "audit", "--json"], workspace))


def npm_audit_verdict(done: ProgramResult) -> Verdict:
    """Read npm's report. A report without `vulnerabilities` has a message that says why the registry did not answer."""
    document = _json(done.stdout)
    if not isinstance(document, dict) or "vulnerabilities" not in document:
        message = document.get("message") if isinstance(document, dict) else ""
        return Verdict(skip_reason=str(message or _failure_reason(done)))
    return Verdict(
        findings=[
            f"{name} {known['range']}: {known['severity']}" for name, known in document["vulnerabilities"].items()
        ]
    )


def _run(command: Sequence[str], workspace: Workspace) -> ProgramResult:
    return run(command, cwd=workspace.root, env=workspace.environment(), timeout=600)


def _json(text: str) -> Any:  # noqa: ANN401 - JSON is anything
    with suppress(ValueError):
        return json.loads(text)
    return None


def _failure_reason(done: ProgramResult) -> str:
    return tail(done.stderr or done.stdout, 1).strip()[:300] or f"it ended with exit code {done.code} and no report"
