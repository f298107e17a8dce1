"""Runs the app with Microsoft's own worker code (azure-functions-runtime) and a real storage emulator."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from devtools.azurite import ROOT, Azurite, azurite


@pytest.mark.skipif(
    sys.version_info < (3, 13), reason="Microsoft's azure-functions-runtime exists for Python 3.13 and later"
)
def test_the_real_worker_indexes_and_invokes_every_function(tmp_path: Path) -> None:
    """Every function is indexed, decodes the host's message and answers. Ticks complete the ingestion."""
    with azurite(tmp_path) as storage:
        lines = run(storage)
    assert lines[0]["indexed"] == [
        "batches", "cancel", "dispatch", "docs", "health", "home", "ingest", "ingestion", "ingestions", "lanes",
        "metrics", "openapi", "pages", "pause", "problem_type", "results", "retry", "status", "upkeep",
    ]  # fmt: skip
    invoked = lines[1:]
    assert {line["function"] for line in invoked} == set(lines[0]["indexed"])
    assert not [line for line in invoked if line["failure"]]
    answers = {line["function"]: line for line in invoked}
    assert answers["ingest"]["status"] == "202"
    assert json.loads(answers["status"]["body"])["status"] == "completed"
    assert [batch["ids"] for batch in json.loads(answers["batches"]["body"])["batches"]] == [[1, 2, 3], [4]]
    assert [json.loads(line)["id"] for line in answers["results"]["body"].splitlines()] == [1, 2, 3, 4]
    assert {answers[name]["status"] for name in ("retry", "cancel")} == {"409"}
    assert answers["problem_type"]["status"] == "303"
    working = ("ingestion", "ingestions", "lanes", "pause", "health", "home", "pages", "openapi", "docs", "metrics")
    assert {answers[name]["status"] for name in working} == {"200"}


def run(storage: Azurite) -> list[dict[str, Any]]:
    """Run the program on the app; return the lines that it prints, decoded."""
    env = {
        **os.environ,
        "AzureWebJobsStorage": storage.connection_string,
        "INGEST_INTERVAL_SECONDS": "0.2",
        "PYTHONPATH": str(ROOT),
    }
    program = Path(__file__).with_name("invoke_everything.py")
    done = subprocess.run(
        [sys.executable, str(program)], cwd=ROOT, env=env, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
