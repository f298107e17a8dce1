from pathlib import Path

import pytest

from devtools.console import Failure
from devtools.host import choose
from tests.dev.conftest import Script


def test_a_func_that_works_is_the_host(tmp_path: Path, script: Script) -> None:
    """The reason contains its version and its path."""
    func = script("func", "echo 4.1.2")
    choice = choose(None, tmp_path)
    assert (choice.func, choice.reason) == (str(func), f"func 4.1.2 ({func})")


@pytest.mark.usefixtures("script")
def test_without_func_the_emulator_is_the_host(tmp_path: Path) -> None:
    """The reason says that func is missing."""
    choice = choose(None, tmp_path)
    assert (choice.func, choice.reason) == (None, "emulator (func is not on PATH)")


def test_a_func_that_does_not_work_is_not_the_host(tmp_path: Path, script: Script) -> None:
    """An npm package whose download failed leaves such a program on PATH."""
    script("func", "echo cannot find the runtime; exit 1")
    choice = choose(None, tmp_path)
    assert (choice.func, choice.reason) == (None, "emulator (`func --version` fails: cannot find the runtime)")


@pytest.mark.parametrize(
    ("says", "shown"),
    [("echo function runner 1.2", "function runner 1.2"), ("true", "nothing"), ("echo 2.7.3188", "2.7.3188")],
)
def test_another_program_called_func_is_not_the_host(tmp_path: Path, script: Script, says: str, shown: str) -> None:
    """The same is true for a version of Core Tools that cannot run this kind of app."""
    func = script("func", says)
    reason = f"emulator ({func} is not Azure Functions Core Tools 4, `func --version` says {shown!r})"
    assert choose(None, tmp_path).reason == reason


def test_what_func_warns_about_is_not_its_version(tmp_path: Path, script: Script) -> None:
    """Func prints warnings on standard error."""
    script("func", "echo 4.1.2; echo 'a newer version is available: 9' >&2")
    assert choose(None, tmp_path).reason.startswith("func 4.1.2 ")


def test_a_silent_failure_of_func_shows_its_exit_code(tmp_path: Path, script: Script) -> None:
    """The reason is never empty."""
    script("func", "exit 3")
    assert choose(None, tmp_path).reason == "emulator (`func --version` fails: exit code 3)"


def test_the_emulator_can_be_forced(tmp_path: Path, script: Script) -> None:
    """This is true even if a working func is on PATH."""
    script("func", "echo 4.1.2")
    assert choose("emulator", tmp_path).func is None


@pytest.mark.parametrize("broken", [True, False])
def test_func_can_be_forced_only_where_it_works(tmp_path: Path, script: Script, *, broken: bool) -> None:
    """Otherwise one line says why func cannot be used, and what to do."""
    if broken:
        script("func", "exit 3")
    with pytest.raises(Failure, match=r"(exit code 3|not on PATH): install Azure Functions Core Tools"):
        choose("func", tmp_path)
