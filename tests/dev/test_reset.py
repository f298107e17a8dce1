import sys
from io import StringIO
from pathlib import Path

import pytest

from devtools.console import Failure
from devtools.locks import locked
from devtools.reset import reset


class Terminal(StringIO):
    """A person who types this line."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """Something that Azurite has stored."""
    blobs = tmp_path / ".azurite" / "__blobstorage__"
    blobs.mkdir(parents=True)
    (blobs / "blob").touch()
    (tmp_path / ".azurite" / "__azurite_db_table__.json").touch()
    return tmp_path / ".azurite"


def left(folder: Path) -> set[str]:
    """The names of the files in the folder, without the lock files."""
    return {path.name for path in folder.iterdir() if path.suffix != ".lock"}


def test_with_yes_everything_stored_is_deleted(tmp_path: Path, stored: Path) -> None:
    """No question is asked."""
    assert reset(tmp_path, ["--yes"]) == 0
    assert not left(stored)


@pytest.mark.parametrize(("typed", "code"), [("y\n", 0), ("yes\n", 0), ("n\n", 1), ("\n", 1), ("", 1)])
def test_a_person_is_asked_first(
    tmp_path: Path, stored: Path, monkeypatch: pytest.MonkeyPatch, typed: str, code: int
) -> None:
    """Nothing is deleted unless the answer is yes."""
    monkeypatch.setattr(sys, "stdin", Terminal(typed))
    assert reset(tmp_path, []) == code
    assert bool(left(stored)) == (code == 1)


def test_where_nobody_can_be_asked_nothing_is_deleted(
    tmp_path: Path, stored: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line says what to add."""
    monkeypatch.setattr(sys, "stdin", StringIO("y\n"))
    with pytest.raises(Failure, match="add --yes"):
        reset(tmp_path, [])
    assert left(stored)


@pytest.mark.parametrize("lock", ["start.lock", "storage.lock"])
def test_nothing_is_deleted_under_a_running_service(tmp_path: Path, stored: Path, lock: str) -> None:
    """The same is true while a host or an Azurite of a killed run is left."""
    with (
        locked(stored / lock, holder="process 7", patience=0, busy_message=""),
        pytest.raises(Failure, match=r"in use \(process 7\)"),
    ):
        reset(tmp_path, ["--yes"])
    assert left(stored)


def test_without_anything_stored_there_is_nothing_to_do(tmp_path: Path) -> None:
    """The exit code is 0."""
    assert reset(tmp_path, []) == 0
