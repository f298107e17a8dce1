"""The command line as a process, in front of a service."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.cli.api import ContractApi, serving

PROGRAM = Path(__file__).resolve().parents[2] / "cli" / "ingest.py"

Run = Callable[..., subprocess.CompletedProcess[bytes]]


@pytest.fixture
def api() -> ContractApi:
    """The API in memory; a test may script its answers."""
    return ContractApi()


@pytest.fixture
def api_url(api: ContractApi) -> Iterator[str]:
    """Where the API in memory is served."""
    with serving(api) as url:
        yield url


@pytest.fixture
def service_url(api_url: str) -> str:
    """The service that the happy paths run against. This is the only place that chooses it."""
    return api_url


def environment(url: str, extra: Mapping[str, str] = {}) -> dict[str, str]:
    """Return the variables that the program gets."""
    kept = {name: value for name, value in os.environ.items() if name.lower() != "http_proxy"}
    return kept | {"INGEST_URL": url, "COLUMNS": "100", **extra}


def run_program(
    url: str, *words: str, stdin: bytes = b"", env: Mapping[str, str] = {}
) -> subprocess.CompletedProcess[bytes]:
    """Run the program to its end."""
    command = [sys.executable, str(PROGRAM), *words]
    return subprocess.run(command, input=stdin, env=environment(url, env), capture_output=True, timeout=60, check=False)


@pytest.fixture
def run(service_url: str) -> Run:
    """Run the program against the service."""

    def run_one(*words: str, stdin: bytes = b"", env: Mapping[str, str] = {}) -> subprocess.CompletedProcess[bytes]:
        return run_program(service_url, *words, stdin=stdin, env=env)

    return run_one


@pytest.fixture
def run_scripted(api_url: str) -> Run:
    """Run the program against the API in memory, whose answers the test scripts."""

    def run_one(*words: str, stdin: bytes = b"", env: Mapping[str, str] = {}) -> subprocess.CompletedProcess[bytes]:
        return run_program(api_url, *words, stdin=stdin, env=env)

    return run_one
