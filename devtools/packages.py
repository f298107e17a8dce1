"""Installs the Python packages of the virtual environment, and checks before each later run that none is missing."""

import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from devtools import stamp
from devtools.console import Failure, say, step, tail
from devtools.installing import install
from devtools.processes import run

PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;#]+)\s*(?:#.*)?$", re.MULTILINE)
PROGRESS_STEP = 8  # packages between two numbers on the progress line


@dataclass(frozen=True, kw_only=True)
class Needs:
    """The packages that a command needs: requirement files (the last one includes the others) and modules to import."""

    files: Sequence[str]
    stamp: str
    modules: Sequence[str]

    def sources(self, root: Path) -> list[Path]:
        """The paths of the requirement files."""
        return [root / name for name in self.files]


START = Needs(
    files=("requirements.txt", "requirements-start.txt"),
    stamp="start-stamp",
    modules=(
        *("azure.functions", "azure.data.tables.aio", "azure.storage.queue.aio", "azure.identity.aio"),
        *("aiohttp", "pydantic", "uvicorn"),
    ),
)
TEST = Needs(
    files=(*START.files, "requirements-dev.txt"),
    stamp="dev-stamp",
    modules=(*START.modules, "pytest", "xdist", "hypothesis", "mypy.api", "importlinter.cli", "fastapi"),
)
AUDIT = Needs(files=("requirements-audit.txt",), stamp="audit-stamp", modules=("checkov.main", "pip_audit"))


def ensure_packages(root: Path, python: Path, needs: Needs) -> None:
    """Install what is missing or damaged; `Failure` if that fails."""
    site = site_packages(python)
    environment = python.parent.parent
    damaged: list[str] = []
    sufficient = [START, TEST] if needs == START else [needs]  # the packages for the tests include those for the start
    for installed in sufficient:
        if stamp.is_fresh(environment / installed.stamp, installed.sources(root)):
            damaged = missing(site, installed.sources(root))
            if not damaged:
                return
    if damaged:
        say(f"{environment.name} has lost files ({damaged[0]}): its packages are installed again")
    with step("Python packages"), stamp.renewed(environment / needs.stamp, needs.sources(root)):
        options = ["--disable-pip-version-check", "--no-input", "--no-color", "--progress-bar=off", "--no-user"]
        if damaged:
            options.append("--force-reinstall")
        pip = [str(python), "-m", "pip", "install", *options, "--no-compile", "-r", needs.files[-1]]
        install("pip install", pip, root, progress=_Progress(site).show)
        _verify(python, needs, root)


def site_packages(python: Path) -> Path:
    """The folder of the environment's packages."""
    environment = python.parent.parent
    on_windows = environment / "Lib" / "site-packages"
    if sys.platform == "win32":
        return on_windows
    return next(environment.glob("lib/python3*/site-packages"), on_windows)


def missing(site: Path, requirements: Sequence[Path]) -> list[str]:
    """The pinned packages that are missing or have another version. If there are none, the files that are missing."""
    present = {_plain(folder.name.removesuffix(".dist-info")) for folder in site.glob("*.dist-info")}
    pins = [pin for file in requirements for pin in PIN.findall(file.read_text(encoding="utf-8"))]
    lost = [f"{name} {version}" for name, version in pins if _plain(f"{name}-{version}") not in present]
    return lost or list(_lost_files(site))


def _lost_files(site: Path) -> Iterator[str]:
    for record in site.glob("*.dist-info/RECORD"):
        for line in record.read_text(encoding="utf-8", errors="replace").splitlines():
            name = line.strip('"').split(",", 1)[0]
            is_checked = not name.startswith("..") and not name.endswith(".pyc")
            if is_checked and not (site / name).exists():
                yield name


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _verify(python: Path, needs: Needs, root: Path) -> None:
    """Check that the packages are there and work. pip can report success although it installed them elsewhere."""
    lost = missing(site_packages(python), needs.sources(root))
    if lost:
        raise Failure(
            f"pip reported success, but {lost[0]} is not in {python.parent.parent.name}: see whether "
            f"`{python} -m pip config list` shows target, prefix, root or user, and remove that setting"
        )
    done = run([str(python), "-c", "import " + ", ".join(needs.modules)], cwd=root)
    if done.code:
        raise Failure(f"The installed packages do not work: {tail(done.output, 1)}", output=tail(done.output))


class _Progress:
    """Prints how many packages pip has found and, while it installs, how many are installed."""

    def __init__(self, site: Path) -> None:
        self._site = site
        self._before = self._count()
        self._found = 0
        self._installed = 0
        self._total = 0

    def show(self, printed: str) -> None:
        """Print the next number if there are at least `PROGRESS_STEP` more packages than at the last one."""
        installing = re.search(r"^Installing collected packages: (.*)$", printed, re.MULTILINE)
        if installing is None:
            found = printed.count("Collecting ")
            if found >= self._found + PROGRESS_STEP:
                say(f"{'' if self._found else 'found '}{found} ", end="")
                self._found = found
            return
        if not self._total:
            self._total = installing[1].count(",") + 1
            say("installed ", end="")
        installed = self._count() - self._before
        if installed >= self._installed + PROGRESS_STEP:
            say(f"{installed}/{self._total} ", end="")
            self._installed = installed

    def _count(self) -> int:
        return len(list(self._site.glob("*.dist-info")))
