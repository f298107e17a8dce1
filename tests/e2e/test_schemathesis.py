"""The service against its document: schemathesis makes requests of it, good ones and bad ones, and follows links."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from devtools.azurite import ROOT, azurite
from tests.support.hosts import FunctionHost

KEY = "sesame"
CONFIG = Path(__file__).with_name("schemathesis.toml")
EXAMPLES = 13
"""For each operation, beyond those that are always made. They decide how long the test takes."""


@pytest.mark.timeout(400)
def test_every_request_gets_an_answer_that_is_documented(tmp_path: Path) -> None:
    """Wrong ones are refused, right ones are not, none is answered 5xx, and a function key is asked for."""
    with azurite(tmp_path) as storage:
        host = FunctionHost("emulator", tmp_path, storage.connection_string, key=KEY, INGEST_INTERVAL_SECONDS="1")
        host.start()
        try:
            output = run_schemathesis(f"http://127.0.0.1:{host.port}/openapi.json", tmp_path)
        finally:
            host.stop()
    assert " ✅  Stateful" in output, output


def run_schemathesis(url: str, folder: Path) -> str:
    """Run it in a folder, where it leaves files; return what it says of a service that passes."""
    words = ["--config-file", str(CONFIG), "run", url, "--seed", "1", "--max-examples", str(EXAMPLES), "--no-color"]
    words += ["--header", f"x-functions-key: {KEY}", "--warnings", "off"]
    program = "import sys; from schemathesis.cli import schemathesis; sys.exit(schemathesis())"
    done = subprocess.run(
        [sys.executable, "-c", program, *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
