import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from types import SimpleNamespace

import pytest

from devtools import interpreters, node, stamp, workspace
from devtools.console import Failure
from tests.dev.checkout import make_checkout
from tests.dev.conftest import Script

WHOLE_NODE = 'if [ "$1" = --version ]; then echo v20.1.0; else echo 3.35.0; fi'
NODE = shutil.which("node") or "node"
FAKE_HOST = Path(__file__).with_name("fake_host.py")
VERSION = interpreters.running_version()
NO_ENSUREPIP = "The virtual environment was not created successfully because ensurepip is not available."


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout where everything is set up."""
    return make_checkout(tmp_path / "checkout", emulator=FAKE_HOST)


def test_a_second_run_installs_nothing(checkout: Path, script: Script) -> None:
    """The second run calls neither npm nor pip."""
    node = script("node", WHOLE_NODE)
    script("npm", "echo npm was called; exit 1")
    prepared = workspace.prepare(checkout)
    assert prepared == workspace.Workspace(root=checkout, python=checkout / ".venv" / "bin" / "python", node=str(node))


def test_changed_requirements_are_installed(checkout: Path, script: Script) -> None:
    """The stamp depends on the content of the files. Here pip fails on the new content."""
    script("node", "echo v20.1.0")
    (checkout / "requirements.txt").write_text("--no-such-option\n")
    with pytest.raises(Failure, match=r"pip install failed: .*no such option") as failure:
        workspace.prepare(checkout)
    assert "no such option" in failure.value.output


def test_a_failure_of_npm_is_reported_in_one_line_and_the_next_run_tries_again(checkout: Path, script: Script) -> None:
    """The end of npm's output is kept, and no stamp is written."""
    script("npm", "echo npm error network request failed; exit 1")
    (checkout / "package-lock.json").write_text("{}")
    for _ in range(2):
        with pytest.raises(Failure, match=r"npm ci failed.*check the network") as failure:
            node.ensure_azurite(checkout, NODE)
        assert failure.value.output == "npm error network request failed"


def test_npm_gets_azurite_even_where_production_is_set(checkout: Path, script: Script) -> None:
    """Azurite is a development dependency, which `NODE_ENV=production` leaves out."""
    script("npm", 'echo "$@" > asked')
    (checkout / "package-lock.json").write_text("{}")
    node.ensure_azurite(checkout, NODE)
    assert (checkout / "asked").read_text() == "ci --include=dev --no-audit --no-fund\n"
    assert stamp.is_fresh(checkout / "node_modules" / "dev-stamp", [checkout / n for n in node.NODE_PACKAGES])


@pytest.mark.usefixtures("script")
def test_a_missing_npm_is_reported_in_one_line(checkout: Path) -> None:
    """Debian has separate packages for Node and npm."""
    (checkout / "package-lock.json").write_text("{}")
    with pytest.raises(Failure, match="npm is missing"):
        node.ensure_azurite(checkout, NODE)


@pytest.mark.parametrize(
    ("says", "line"),
    [
        (None, "Node is missing: install Node 20 or newer"),
        ("echo v18.20.4", "Node 20 or newer is needed, this is v18.20.4"),
        ("echo cannot load a library; exit 127", r"does not work \(cannot load a library\)"),
    ],
)
def test_a_node_that_cannot_be_used_is_reported(tmp_path: Path, script: Script, says: str | None, line: str) -> None:
    """Node may be missing, too old or broken."""
    if says:
        script("node", says)
    with pytest.raises(Failure, match=line):
        node.find_node(tmp_path)


@pytest.mark.parametrize("warning", ["echo '(node:7) Warning: v1.0' >&2", "echo 'nvm is loaded'"])
def test_what_node_prints_at_its_start_is_not_its_version(tmp_path: Path, script: Script, warning: str) -> None:
    """A warning or a wrapper's line may come on either output."""
    program = script("node", f"{warning}; echo v20.20.2")
    assert node.find_node(tmp_path) == str(program)


@pytest.mark.parametrize("lost", ["sequelize", "azurite"])
def test_a_package_that_npm_installed_and_that_is_gone_is_installed_again(
    checkout: Path, script: Script, capsys: pytest.CaptureFixture[str], lost: str
) -> None:
    """The stamp alone does not prove that the package is there."""
    package = checkout / "node_modules" / lost
    script("npm", f"/bin/ln -s {package.resolve()} {package}")
    package.unlink()
    node.ensure_azurite(checkout, NODE)
    assert f"node_modules is damaged (node_modules/{lost})" in capsys.readouterr().out
    assert (package / "package.json").is_file()


def test_before_a_test_run_node_must_be_able_to_load_azurite(checkout: Path, script: Script) -> None:
    """Here a file of a package is missing, so the package is installed again."""
    package = checkout / "node_modules" / "azurite"
    whole = package.resolve()
    package.unlink()
    package.mkdir()
    shutil.copy2(whole / "package.json", package)
    script("npm", f"/bin/rm -r {package}; /bin/ln -s {whole} {package}")
    node.ensure_azurite(checkout, NODE, thoroughly=True)
    assert node.azurite_answers(checkout, NODE)


def test_if_azurite_does_not_start_after_npm_succeeded_that_is_a_failure(checkout: Path, script: Script) -> None:
    """No stamp is written, and the line says what failed."""
    (checkout / "node_modules" / "azurite").unlink()
    script("npm", "true")
    with pytest.raises(Failure, match=r"npm reported success, but Azurite does not start: Error: Cannot find module"):
        node.ensure_azurite(checkout, NODE)
    assert not (checkout / "node_modules" / "dev-stamp").exists()


def test_an_environment_without_pip_gets_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`uv venv` makes such environments. Other files in it stay, and `PIP_USER` has no effect."""
    monkeypatch.setenv("PIP_USER", "1")
    folder = tmp_path / ".venv"
    venv.create(folder, symlinks=sys.platform != "win32")
    (folder / "mine").touch()
    python = workspace.ensure_environment(tmp_path, folder, VERSION, sys.executable)
    assert subprocess.run([python, "-m", "pip", "--version"], check=False).returncode == 0
    assert (folder / "mine").exists()


def test_an_environment_whose_interpreter_is_gone_is_made_again(checkout: Path) -> None:
    """An upgrade of the system's Python leaves such an environment."""
    python = checkout / ".venv" / "bin" / "python"
    python.unlink()
    python.symlink_to(checkout / "gone")
    made = workspace.ensure_environment(checkout, checkout / ".venv", VERSION, sys.executable)
    assert subprocess.run([made, "-c", "import pip"], check=False).returncode == 0
    assert not (checkout / ".venv" / "dev-stamp").exists()


def test_an_environment_of_another_version_is_made_again(checkout: Path) -> None:
    """Its packages do not fit the Python that runs now."""
    settings = checkout / ".venv" / "pyvenv.cfg"
    settings.write_text(settings.read_text().replace(f"version = {VERSION}", "version = 3.5"))
    made = workspace.ensure_environment(checkout, checkout / ".venv", VERSION, sys.executable)
    assert f"version = {VERSION}" in settings.read_text()
    assert subprocess.run([made, "-c", "import pip"], check=False).returncode == 0


def test_a_folder_that_is_no_environment_is_left_alone(tmp_path: Path) -> None:
    """A folder is removed only if it can be made again."""
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "thesis.txt").touch()
    with pytest.raises(Failure, match=r"\.venv is not a virtual environment: move it away"):
        workspace.ensure_environment(tmp_path, tmp_path / ".venv", VERSION, sys.executable)
    assert (tmp_path / ".venv" / "thesis.txt").exists()


@pytest.mark.parametrize(
    ("said", "line"),
    [
        (NO_ENSUREPIP, f"has no venv: install it .*apt install python{VERSION}-venv"),
        ("No module named venv", "has no venv"),
        ("OSError: [Errno 28] No space left on device", "the disk is full: free some space"),
        ("Segmentation fault", "see above why"),
    ],
)
def test_an_environment_that_cannot_be_made_is_reported(tmp_path: Path, script: Script, said: str, line: str) -> None:
    """The unfinished folder is removed."""
    base = script("base", f"echo '{said}'; exit 1")
    with pytest.raises(Failure, match=line) as failure:
        workspace.ensure_environment(tmp_path, tmp_path / ".venv", VERSION, str(base))
    assert failure.value.output == said
    assert not (tmp_path / ".venv").exists()


def test_a_full_disk_is_seen_although_nobody_says_so(
    tmp_path: Path, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The output of venv says only that pip did not work."""
    base = script("base", "echo Command ensurepip returned non-zero exit status 1; exit 1")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=4096))
    with pytest.raises(Failure, match="The virtual environment was not made, the disk is full"):
        workspace.ensure_environment(tmp_path, tmp_path / ".venv", VERSION, str(base))


def test_a_full_disk_is_named_as_the_cause(checkout: Path, script: Script) -> None:
    """Npm prints ENOSPC when the disk is full."""
    script("npm", "echo npm error code ENOSPC; exit 1")
    (checkout / "package-lock.json").write_text("{}")
    with pytest.raises(Failure, match="npm ci failed, the disk is full: free some space"):
        node.ensure_azurite(checkout, NODE)


def test_another_python_has_an_environment_of_its_own(
    checkout: Path, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Switching between two versions of Python then installs nothing again."""
    script("node", WHOLE_NODE)
    other = "3.12" if VERSION != "3.12" else "3.13"
    script(f"python{other}", f"echo {other} {os.fsencode(f'/opt/python{other}').hex()}")
    asked = []
    monkeypatch.setattr(workspace, "ensure_packages", lambda *_: None)
    monkeypatch.setattr(workspace, "ensure_environment", lambda *words: asked.append(words) or Path("p"))
    workspace.prepare(checkout, python_version=other)
    assert asked == [(checkout, checkout / f".venv-{other}", other, f"/opt/python{other}")]
