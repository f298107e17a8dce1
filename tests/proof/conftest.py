"""What the proofs share."""

import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.support.accounts import Accounts, accounts
from tests.support.world import AzureBackend, World, make_world

logging.getLogger("azure.core").setLevel(logging.WARNING)


@pytest.fixture(scope="session")
def storage_accounts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Accounts]:
    """One Azurite with as many accounts as the proofs have cases."""
    with accounts(tmp_path_factory.mktemp("accounts")) as one:
        yield one


@pytest.fixture
async def world(storage_accounts: Accounts, tmp_path: Path) -> AsyncIterator[World]:
    """A world on an account of its own."""
    one = make_world(AzureBackend(storage_accounts.new()), tmp_path / "ledger")
    try:
        yield one
    finally:
        await one.close()
        one.ledger.close()
