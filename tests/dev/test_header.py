"""A test run says which hosts it covers."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.hosts import func_version


@pytest.fixture(autouse=True)
def _empty_cache() -> Iterator[None]:
    """The version of `func` is cached, so the cache is cleared around each test."""
    func_version.cache_clear()
    yield
    func_version.cache_clear()


def header(config: pytest.Config) -> list[object]:
    """What pytest prints before the tests."""
    return config.hook.pytest_report_header(config=config, start_path=Path.cwd())


def test_without_core_tools_a_run_says_that_it_covers_the_emulator_only(
    pytestconfig: pytest.Config, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Then a reader of the result knows that `func` was not tested."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "hosts covered by tests/e2e: emulator (func: not on PATH)" in header(pytestconfig)


def test_with_core_tools_a_run_names_their_version(
    pytestconfig: pytest.Config, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Both hosts are covered."""
    func = tmp_path / "func"
    func.write_text("#!/bin/sh\necho 4.0.1\n")
    func.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert "hosts covered by tests/e2e: emulator, func (func: 4.0.1)" in header(pytestconfig)
