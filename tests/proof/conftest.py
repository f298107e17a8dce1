"""What the proofs share."""

import logging
from collections.abc import Iterator

import pytest

from tests.support.accounts import Accounts, accounts

logging.getLogger("azure.core").setLevel(logging.WARNING)


@pytest.fixture(scope="session")
def storage_accounts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Accounts]:
    """One Azurite with as many accounts as the proofs have cases."""
    with accounts(tmp_path_factory.mktemp("accounts")) as one:
        yield one
