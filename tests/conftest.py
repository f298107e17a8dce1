"""Fixtures that several kinds of tests share."""

from collections.abc import Iterator

import pytest
from hypothesis import settings

from devtools.azurite import Azurite, azurite
from tests.support.hosts import func_version, hosts_present

settings.register_profile("no_clock", deadline=None)  # how long an example takes says nothing on a shared machine
settings.load_profile("no_clock")

SLOW = ("tests/e2e/test_storage_outage", "tests/e2e/test_schemathesis", "tests/e2e", "tests/board", "tests/proof")


def pytest_report_header() -> str:
    """Say which hosts a run covers."""
    return f"hosts covered by tests/e2e: {', '.join(hosts_present())} (func: {func_version() or 'not on PATH'})"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest begins first, so that tests side by side end together."""
    places = {name: place for place, name in enumerate(SLOW)}
    items.sort(key=lambda item: min((places[name] for name in SLOW if item.nodeid.startswith(name)), default=len(SLOW)))


@pytest.fixture(scope="session")
def storage_emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azurite]:
    """One Azurite for all tests that do not mind what else is in it."""
    with azurite(tmp_path_factory.mktemp("azurite")) as one:
        yield one
