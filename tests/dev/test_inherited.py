"""`dev.py start` with the real service, in an environment full of other projects' variables."""

import json
import urllib.request
from pathlib import Path

from tests.dev.checkout import make_checkout
from tests.dev.run import running


def test_the_service_runs_whatever_it_inherits(tmp_path: Path) -> None:
    """The folder's name is not ASCII, the terminal is not UTF-8, and many variables of other projects are set."""
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    for name in ("aiohttp", "pydantic", "emulator", "devtools"):
        (foreign / f"{name}.py").write_text("raise ImportError('a module of another project')")
    hostile = {
        "PYTHONPATH": str(foreign),
        "PYTHONSAFEPATH": "1",
        "PYTHONIOENCODING": "ascii",
        "PYTHONDEVMODE": "1",
        "PYTHONWARNINGS": "error",
        "LC_ALL": "C",
        "HTTP_PROXY": "http://127.0.0.1:9",
        "http_proxy": "http://127.0.0.1:9",
        "ALL_PROXY": "socks5://127.0.0.1:9",
        "AZURITE_ACCOUNTS": "other:a2V5",
        "AZURITE_DB": "mysql://nowhere",
        "PIP_TARGET": str(tmp_path / "elsewhere"),
        "PIP_USER": "1",
        "npm_config_global": "true",
    }
    checkout = make_checkout(tmp_path / "Jörg" / "checkout")
    with running(checkout, env=hostile) as run:
        body = json.dumps({"ids": [1, 2, 3], "priority": "HIGH"}).encode()
        with urllib.request.urlopen(f"http://127.0.0.1:{run.port}/ingest", body, timeout=30) as answer:
            assert answer.status == 202
