"""Fixtures that several kinds of tests share."""

from collections.abc import Iterator

import pytest

from tests.support.processes import Azurite, azurite


@pytest.fixture(scope="session")
def storage_emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azurite]:
    """One Azurite for all tests that do not mind what else is in it."""
    with azurite(tmp_path_factory.mktemp("azurite")) as one:
        yield one
