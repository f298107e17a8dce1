import errno
import fcntl
import os
from pathlib import Path

import pytest

from devtools.console import Failure
from devtools.locks import locked
from devtools.processes import ask_to_end, spawn


def test_the_message_for_a_second_run_names_the_holder_of_the_lock(tmp_path: Path) -> None:
    """The message is one line."""
    with (
        locked(tmp_path / "lock", holder="process 1", patience=0, busy_message="in use ({holder})"),
        pytest.raises(Failure, match=r"^in use \(process 1\)$"),
        locked(tmp_path / "lock", holder="process 2", patience=0, busy_message="in use ({holder})"),
    ):
        pass


def test_a_lock_is_free_again_after_the_block(tmp_path: Path) -> None:
    """This is true even if the block raised an error."""
    for holder in ("process 1", "process 2"):
        with (
            pytest.raises(ZeroDivisionError),
            locked(tmp_path / "lock", holder=holder, patience=0, busy_message="in use"),
        ):
            raise ZeroDivisionError
    assert (tmp_path / "lock").read_text() == "process 2"


def test_a_lock_lasts_until_the_last_process_that_inherited_it_has_ended(tmp_path: Path) -> None:
    """After dev.py was killed, Azurite may still write to its folder, so the folder must stay locked."""
    lock = tmp_path / "lock"
    with locked(lock, holder="dev.py", patience=0, busy_message="in use") as descriptor:
        heir = spawn(["sleep", "60"], keep_open=[descriptor])
    try:
        with pytest.raises(Failure, match="in use"), locked(lock, holder="", patience=0, busy_message="in use"):
            pass
        ask_to_end(heir)
        with locked(lock, holder="next", patience=10, busy_message="in use"):
            assert heir.wait(10) < 0
    finally:
        heir.kill()
        heir.wait()


def test_a_run_that_waits_for_a_lock_prints_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without that line it would seem to hang."""
    with (
        locked(tmp_path / "lock", holder=str(os.getpid()), patience=0, busy_message=""),
        pytest.raises(Failure),
        locked(tmp_path / "lock", holder="", patience=0.3, busy_message="in use", waiting_message="waiting"),
    ):
        pass
    assert capsys.readouterr().out == "waiting\n"


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_on_a_file_system_without_locks_there_is_a_warning_and_the_command_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Some network file systems have no locks. That must not look as if another run had the lock."""

    def refuse(*_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with locked(tmp_path / "lock", holder="", patience=0, busy_message="in use"):
        pass
    line = f"WARNING: the file system of {tmp_path} has no locks ({os.strerror(number)}), "
    assert capsys.readouterr().out.startswith(line)
