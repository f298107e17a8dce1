"""The deployment package is complete, contains nothing else, and runs by itself."""

import http.client
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from devtools.azurite import ROOT, Azurite
from devtools.child import Child, wait_until
from devtools.ports import free_ports
from tests.support.hosts import Reply, call
from tests.support.package import SITE_PACKAGES, build, deployed_files, environment, lay_out_host

ALONE = ("-S", "-P")
"""Options of Python that keep the test environment and the current folder out of the module search."""


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package, which is built once for all tests."""
    scratch = tmp_path_factory.mktemp("package")
    return build(scratch / "app", scratch)


@pytest.fixture(scope="module")
def port(package: Path, storage_emulator: Azurite, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port on which the package is served."""
    host = lay_out_host(tmp_path_factory.mktemp("host"))
    (port,) = free_ports(1)
    env = {**environment(package, host), "AzureWebJobsStorage": storage_emulator.connection_string}
    command = [sys.executable, *ALONE, "-m", "emulator", str(package), "--port", str(port)]
    process = Child(command, log=host / "host.log", cwd=host, env=env)
    try:
        wait_until(lambda: not process.running() or _answers(port), seconds=60, what="the package answers")
        assert process.running(), process.output()
        yield port
    finally:
        process.stop()


def _answers(port: int) -> bool:
    try:
        return call(port, "GET", "/health").status in {200, 503}
    except (OSError, http.client.HTTPException):
        return False


def test_the_package_contains_the_app_and_nothing_else(tmp_path: Path) -> None:
    """It has every module and page of `ingest_core`, and nothing that only development or deployment needs."""
    files = deployed_files(ROOT, tmp_path)
    folders = {name.partition("/")[0] for name in files}
    assert folders == {"function_app.py", "host.json", "ingest_core", "requirements.txt"}
    present = (path for path in (ROOT / "ingest_core").rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    assert {str(path.relative_to(ROOT).as_posix()) for path in present} == {
        name for name in files if name.startswith("ingest_core/")
    }


def test_every_module_comes_from_the_package(package: Path) -> None:
    """Apart from Python itself, no other folder provides a module, even with all adapters imported."""
    code = """
import sys
import function_app, ingest_core.source.choose, ingest_core.storage.azure
files = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
print(*filter(None, files), sep="\\n")
"""
    command = [sys.executable, *ALONE, "-c", f"import sys; sys.path.insert(0, '.'){code}"]
    found = subprocess.run(
        command, cwd=package, env=environment(package), capture_output=True, text=True, check=False, timeout=60
    )
    assert found.returncode == 0, found.stderr
    origins = [Path(line) for line in found.stdout.splitlines()]
    standard_library = Path(subprocess.__file__).parent
    others = [path for path in origins if not path.is_relative_to(standard_library)]
    assert any((package / SITE_PACKAGES) in path.parents for path in others)
    assert [str(path) for path in others if path.is_absolute() and package not in path.parents] == []


def test_the_package_accepts_a_list(port: int) -> None:
    """After a POST, GET shows the batches of the list."""
    accepted: Reply = call(port, "POST", "/ingest", {"ids": [1, 2, 3, 4], "priority": "HIGH"})
    assert accepted.status == 202, accepted.body
    shown = call(port, "GET", f"/status/{accepted.json['ingestion_id']}")
    assert [batch["ids"] for batch in shown.json["batches"]] == [[1, 2, 3], [4]]


def test_the_package_serves_its_page(port: int) -> None:
    """The page is a file beside the modules, so a package with only modules would lack it."""
    page = call(port, "GET", "/")
    assert page.status == 200
    assert page.headers["content-type"].startswith("text/html")
