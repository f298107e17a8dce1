import json

import pytest

from devtools.audit import Verdict, checkov_verdict, npm_audit_verdict, pip_audit_verdict
from devtools.processes import Done

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


def done(document: object, *, code: int = 1, stderr: str = "") -> Done:
    """What a program has printed."""
    return Done(code=code, stdout="" if document is None else json.dumps(document), stderr=stderr)


def test_findings_are_listed() -> None:
    """With where they are, and what fixes them."""
    found = ["CKV_AZURE_3 HTTPS only (/main.bicep:7, storage)", "/broken.bicep cannot be parsed"]
    assert checkov_verdict(done(CHECKOV)).findings == found
    assert checkov_verdict(done([CHECKOV, {"passed": 0}])).findings == found
    assert pip_audit_verdict(done(PIP)).findings == ["a 1: CVE-1, fixed in 2"]
    assert npm_audit_verdict(done(NPM)).findings == ["a <2: high"]


def test_a_clean_report_has_no_findings() -> None:
    """And it ran."""
    assert checkov_verdict(done({"results": {"failed_checks": []}}, code=0)) == Verdict(findings=[])
    assert pip_audit_verdict(done({"dependencies": []}, code=0)) == Verdict(findings=[])
    assert npm_audit_verdict(done({"vulnerabilities": {}}, code=0)) == Verdict(findings=[])


@pytest.mark.parametrize("read", [checkov_verdict, pip_audit_verdict, npm_audit_verdict])
def test_a_program_without_a_report_has_not_run(read: object) -> None:
    """Its last words say why; that is no finding."""
    assert callable(read)
    assert read(done(None, stderr="ERROR: no connection\n")) == Verdict(why_not_run="ERROR: no connection")


def test_a_registry_that_answers_with_an_error_is_not_run() -> None:
    """Npm prints a document then too."""
    assert npm_audit_verdict(done({"message": "ENOTFOUND", "error": {}})).why_not_run == "ENOTFOUND"
