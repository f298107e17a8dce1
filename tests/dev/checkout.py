"""A copy of this checkout that is set up without installing anything, to run `dev.py` in."""

import shutil
import sys
import sysconfig
import venv
from pathlib import Path

from devtools import stamp
from devtools.azurite import ROOT
from devtools.node import NODE_PACKAGES
from devtools.packages import START, TEST

FILES = ("dev.py", "host.json", "local.settings.json", *TEST.files, *NODE_PACKAGES)


def make_checkout(folder: Path, *, emulator: Path | None = None) -> Path:
    """Copy the checkout with the real function app, or with the program `emulator` in place of the emulator's own."""
    folder.mkdir(parents=True)
    for name in FILES:
        shutil.copy2(ROOT / name, folder)
    shutil.copytree(ROOT / "devtools", folder / "devtools")
    shutil.copytree(ROOT / "emulator", folder / "emulator")
    if emulator:
        shutil.copy2(emulator, folder / "emulator" / "__main__.py")
    else:
        shutil.copy2(ROOT / "function_app.py", folder)
        shutil.copytree(ROOT / "ingest_core", folder / "ingest_core")
    _make_environment(folder)
    _link_node_modules(folder)
    return folder


def _make_environment(folder: Path) -> None:
    """Make an environment that uses the packages of the one that runs the tests and lists their names."""
    environment = folder / ".venv"
    venv.create(environment, symlinks=sys.platform != "win32")
    packages = next(environment.rglob("site-packages"))
    borrowed = Path(sysconfig.get_path("purelib"))
    (packages / "borrowed.pth").write_text(str(borrowed))
    for installed in borrowed.glob("*.dist-info"):
        (packages / installed.name).mkdir()
        (packages / installed.name / "RECORD").touch()  # empty, so that pip never removes a borrowed file
    for needs in (START, TEST):
        with stamp.renewed(environment / needs.stamp, needs.sources(folder)):
            pass


def _link_node_modules(folder: Path) -> None:
    modules = folder / "node_modules"
    modules.mkdir()
    for each in (ROOT / "node_modules").iterdir():
        if each.is_dir():
            (modules / each.name).symlink_to(each)
    shutil.copy2(ROOT / "node_modules" / ".package-lock.json", modules)
    with stamp.renewed(modules / "dev-stamp", [folder / name for name in NODE_PACKAGES]):
        pass
