import errno
import fcntl
import os
from pathlib import Path

import pytest

from devtools.console import Failure
from devtools.locks import locked
from devtools.processes import ask_to_end, spawn


def test_a_second_holder_is_told_who_the_first_is(tmp_path: Path) -> None:
    """In one line."""
    with (
        locked(tmp_path / "lock", holder="process 1", patience=0, refusal="in use ({holder})"),
        pytest.raises(Failure, match=r"^in use \(process 1\)$"),
        locked(tmp_path / "lock", holder="process 2", patience=0, refusal="in use ({holder})"),
    ):
        pass


def test_a_lock_is_free_again_afterwards(tmp_path: Path) -> None:
    """Whatever happened while it was held."""
    for holder in ("process 1", "process 2"):
        with (
            pytest.raises(ZeroDivisionError),
            locked(tmp_path / "lock", holder=holder, patience=0, refusal="in use"),
        ):
            raise ZeroDivisionError
    assert (tmp_path / "lock").read_text() == "process 2"


def test_a_lock_lasts_until_its_last_heir_has_ended(tmp_path: Path) -> None:
    """A killed dev.py leaves Azurite writing: its folder is not free before that ends."""
    lock = tmp_path / "lock"
    with locked(lock, holder="dev.py", patience=0, refusal="in use") as descriptor:
        heir = spawn(["sleep", "60"], keep_open=[descriptor])
    try:
        with pytest.raises(Failure, match="in use"), locked(lock, holder="", patience=0, refusal="in use"):
            pass
        ask_to_end(heir)
        with locked(lock, holder="next", patience=10, refusal="in use"):
            assert heir.wait(10) < 0
    finally:
        heir.kill()
        heir.wait()


def test_who_waits_says_so_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Otherwise it looks as if it hangs."""
    with (
        locked(tmp_path / "lock", holder=str(os.getpid()), patience=0, refusal=""),
        pytest.raises(Failure),
        locked(tmp_path / "lock", holder="", patience=0.3, refusal="in use", notice="waiting"),
    ):
        pass
    assert capsys.readouterr().out == "waiting\n"


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_file_system_without_locks_is_named_and_the_command_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """As on some network file systems; that is not "already running"."""

    def refuse(*_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with locked(tmp_path / "lock", holder="", patience=0, refusal="in use"):
        pass
    line = f"WARNING: the file system of {tmp_path} has no locks ({os.strerror(number)}), "
    assert capsys.readouterr().out.startswith(line)
