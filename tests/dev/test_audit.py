import json

import pytest

from devtools.audit import Verdict, checkov_verdict, npm_audit_verdict, pip_audit_verdict
from devtools.processes import ProgramResult

CHECKOV = {
    "results": {
        "failed_checks": [
            {
                "check_id": "CKV_AZURE_3",
                "check_name": "HTTPS only",
                "file_path": "/main.bicep",
                "file_line_range": [7, 9],
                "resource": "storage",
            }
        ],
        "parsing_errors": ["/broken.bicep"],
    }
}
PIP = {
    "dependencies": [
        {"name": "a", "version": "1", "vulns": [{"id": "CVE-1", "fix_versions": ["2"]}]},
        {"name": "b", "version": "1", "vulns": []},
        {"name": "c", "skip_reason": "not on PyPI"},
    ]
}
NPM = {"vulnerabilities": {"a": {"range": "<2", "severity": "high"}}}


def done(document: object, *, code: int = 1, stderr: str = "") -> ProgramResult:
    """The result of a program that has printed the document."""
    return ProgramResult(code=code, stdout="" if document is None else json.dumps(document), stderr=stderr)


def test_findings_are_listed() -> None:
    """Each finding names its place, or the version that fixes it."""
    found = ["CKV_AZURE_3 HTTPS only (/main.bicep:7, storage)", "/broken.bicep cannot be parsed"]
    assert checkov_verdict(done(CHECKOV)).findings == found
    assert checkov_verdict(done([CHECKOV, {"passed": 0}])).findings == found
    assert pip_audit_verdict(done(PIP)).findings == ["a 1: CVE-1, fixed in 2"]
    assert npm_audit_verdict(done(NPM)).findings == ["a <2: high"]


def test_a_clean_report_has_no_findings() -> None:
    """The checks count as run."""
    assert checkov_verdict(done({"results": {"failed_checks": []}}, code=0)) == Verdict(findings=[])
    assert pip_audit_verdict(done({"dependencies": []}, code=0)) == Verdict(findings=[])
    assert npm_audit_verdict(done({"vulnerabilities": {}}, code=0)) == Verdict(findings=[])


@pytest.mark.parametrize("read", [checkov_verdict, pip_audit_verdict, npm_audit_verdict])
def test_a_program_without_a_report_has_not_run(read: object) -> None:
    """Its last line of output is the reason, and there are no findings."""
    assert callable(read)
    assert read(done(None, stderr="ERROR: no connection\n")) == Verdict(skip_reason="ERROR: no connection")


def test_pip_audit_has_not_run_if_it_could_look_up_no_package() -> None:
    """It skips each package for which the registry, a mirror for example, has no page, and then finds nothing."""
    skipped = {"dependencies": [{"name": name, "skip_reason": f"{name} was not found"} for name in ("a", "b")]}
    assert pip_audit_verdict(done(skipped, code=0)).skip_reason == "no package could be looked up: a was not found"


def test_npm_has_not_run_if_the_registry_answers_with_an_error() -> None:
    """Npm prints a JSON document in this case too."""
    assert npm_audit_verdict(done({"message": "ENOTFOUND", "error": {}})).skip_reason == "ENOTFOUND"
