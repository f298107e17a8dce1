"""One Azurite with a storage account for every case, so that cases never meet."""

import contextlib
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from devtools.azurite import azurite

ACCOUNTS = 50
KEY = "a2V5"


class Accounts:
    """Hands out empty accounts."""

    def __init__(self, connection_string: str) -> None:
        self._connection_string = connection_string
        self._numbers = count()

    def new(self) -> str:
        """The connection string of an account that nobody has used."""
        number = next(self._numbers)
        assert number < ACCOUNTS, "the cases have become more: have more accounts"
        own = self._connection_string.replace("devstoreaccount1", f"case{number}")
        return ";".join(f"AccountKey={KEY}" if part.startswith("AccountKey=") else part for part in own.split(";"))


@contextlib.contextmanager
def accounts(folder: Path) -> Iterator[Accounts]:
    """A running Azurite and its accounts."""
    with azurite(folder, accounts=";".join(f"case{number}:{KEY}" for number in range(ACCOUNTS))) as storage:
        yield Accounts(storage.connection_string)
