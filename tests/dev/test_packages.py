"""Installing Python packages into a virtual environment, whatever the user's variables and settings tell pip."""

import shutil
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from devtools import packages, stamp
from devtools.azurite import ROOT
from devtools.console import Failure

NEEDS = packages.Needs(files=("requirements-tiny.txt",), stamp="tiny-stamp", modules=("tiny",))
ELSEWHERE = "/nonexistent/elsewhere"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a virtual environment, and a package that can be installed without a network."""
    folder = tmp_path_factory.mktemp("root")
    venv.create(folder / ".venv", symlinks=sys.platform != "win32", with_pip=True)
    make_wheel(folder / "wheels")
    lines = ["--no-index", f"--find-links {folder / 'wheels'}", "tiny==1.0"]
    (folder / "requirements-tiny.txt").write_text("\n".join(lines))
    return folder


@pytest.fixture
def python(root: Path) -> Path:
    """The environment's interpreter, with nothing installed."""
    interpreter = root / ".venv" / "bin" / "python"
    for path in packages.site_packages(interpreter).glob("tiny*"):
        shutil.rmtree(path)
    (root / ".venv" / NEEDS.stamp).unlink(missing_ok=True)
    return interpreter


def make_wheel(folder: Path) -> None:
    """A package with two modules, in the format that pip installs."""
    folder.mkdir()
    info = "tiny-1.0.dist-info"
    files = {
        "tiny/__init__.py": "import tiny.part",
        "tiny/part.py": "",
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(folder / "tiny-1.0-py3-none-any.whl", "w") as wheel:
        for name, text in {**files, f"{info}/RECORD": record}.items():
            wheel.writestr(name, text)


HARMFUL = {
    "PIP_USER": "1",
    "PIP_TARGET": ELSEWHERE,
    "PIP_PREFIX": ELSEWHERE,
    "PIP_ROOT": ELSEWHERE,
    "PIP_PYTHON": ELSEWHERE,
    "PIP_DRY_RUN": "1",
    "PIP_REQUIREMENT": ELSEWHERE,
    "PIP_CONSTRAINT": ELSEWHERE,
    "PIP_REQUIRE_HASHES": "1",
    "PIP_QUIET": "3",
    "PIP_REPORT": ELSEWHERE,
    "pip_target": ELSEWHERE,
    "PYTHONHOME": ELSEWHERE,
    "PYTHONINSPECT": "1",
    "PYTHONSAFEPATH": "1",
    "PYTHONUSERBASE": ELSEWHERE,
    "PYTHONWARNINGS": "error",
}
"""Each of these variables alone would install elsewhere or break the installation."""


def test_packages_arrive_whatever_the_environment_says(
    root: Path, python: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None of the variables reaches pip, nor does a folder with a module of the same name."""
    (tmp_path / "tiny.py").write_text("raise ImportError('a module of another project')")
    for name, value in {**HARMFUL, "PYTHONPATH": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    packages.ensure_packages(root, python, NEEDS)
    assert (packages.site_packages(python) / "tiny" / "part.py").is_file()
    assert stamp.is_fresh(root / ".venv" / NEEDS.stamp, NEEDS.sources(root))


@pytest.mark.parametrize("setting", ["target", "prefix", "root"])
def test_a_configuration_that_leads_elsewhere_is_named_and_leaves_no_stamp(
    root: Path, python: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str
) -> None:
    """Pip reports success in this case too."""
    (tmp_path / "pip.conf").write_text(f"[install]\n{setting} = {tmp_path}\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    with pytest.raises(Failure, match=r"pip reported success, but tiny 1\.0 is not in \.venv: .* pip config list"):
        packages.ensure_packages(root, python, NEEDS)
    assert not (root / ".venv" / NEEDS.stamp).exists()


def test_a_user_installation_in_the_configuration_is_overruled(
    root: Path, python: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the override, pip would fail, because a virtual environment allows no user installation."""
    (tmp_path / "pip.conf").write_text("[install]\nuser = true\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    packages.ensure_packages(root, python, NEEDS)


@pytest.mark.parametrize("lost", ["tiny/part.py", "tiny-1.0.dist-info"])
def test_packages_that_have_lost_files_are_installed_again(
    root: Path, python: Path, capsys: pytest.CaptureFixture[str], lost: str
) -> None:
    """Otherwise every later run would end with an import error."""
    packages.ensure_packages(root, python, NEEDS)
    site = packages.site_packages(python)
    (site / lost).rename(site / "moved")
    try:
        packages.ensure_packages(root, python, NEEDS)
        assert ".venv has lost files (tiny" in capsys.readouterr().out
        assert (site / lost).exists()
        packages.ensure_packages(root, python, NEEDS)
        assert capsys.readouterr().out == ""
    finally:
        shutil.rmtree(site / "moved") if (site / "moved").is_dir() else (site / "moved").unlink()


def test_packages_that_cannot_be_imported_are_a_failure(root: Path, python: Path) -> None:
    """The line says which module is missing, and the next run repeats the step."""
    needs = packages.Needs(files=NEEDS.files, stamp=NEEDS.stamp, modules=("tiny", "tiny_extra"))
    with pytest.raises(Failure, match=r"The installed packages do not work: .*No module named 'tiny_extra'"):
        packages.ensure_packages(root, python, needs)
    assert not (root / ".venv" / NEEDS.stamp).exists()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("--index-url http://127.0.0.1:9/simple tiny-from-nowhere==1", "did not reach its server"),
        ("tiny==2.0", "pip install failed: .*tiny==2.0"),
    ],
)
def test_a_failed_installation_says_what_failed(
    root: Path, python: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, said: str
) -> None:
    """The message mentions the network only if the network was the cause."""
    monkeypatch.setenv("PIP_RETRIES", "1")  # pip names the network only when it tries again
    needs = packages.Needs(files=(str(tmp_path / "requirements.txt"),), stamp=NEEDS.stamp, modules=())
    if line.startswith("tiny=="):
        line = f"--no-index\n--find-links {root / 'wheels'}\n{line}"
    (tmp_path / "requirements.txt").write_text(line.replace(" tiny", "\ntiny"))
    with pytest.raises(Failure, match=said):
        packages.ensure_packages(root, python, needs)


def test_start_needs_no_test_tool() -> None:
    """What tests need includes what `start` runs, and `start` installs nothing that only tests need."""
    assert set(packages.START.files) < set(packages.TEST.files)
    installed = "".join(path.read_text() for path in packages.START.sources(ROOT))
    assert "pytest" not in installed
    assert "uvicorn" in installed
