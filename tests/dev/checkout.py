"""A copy of this checkout that is set up without installing anything, to run `dev.py` in."""

import shutil
import sys
import sysconfig
import venv
from pathlib import Path

from devtools import stamp
from devtools.workspace import NODE_PACKAGES, PACKAGES
from tests.support.processes import ROOT

FILES = ("dev.py", "host.json", "local.settings.json", *PACKAGES, *NODE_PACKAGES)


def make_checkout(folder: Path, *, emulator: Path | None = None) -> Path:
    """Copy the checkout, with the real function app and emulator, or with a module in the emulator's place."""
    folder.mkdir()
    for name in FILES:
        shutil.copy2(ROOT / name, folder)
    shutil.copytree(ROOT / "devtools", folder / "devtools")
    if emulator:
        (folder / "emulator").mkdir()
        shutil.copy2(emulator, folder / "emulator" / "__main__.py")
    else:
        shutil.copy2(ROOT / "function_app.py", folder)
        shutil.copytree(ROOT / "ingest_core", folder / "ingest_core")
        shutil.copytree(ROOT / "emulator", folder / "emulator")
    _make_environment(folder)
    _link_node_modules(folder)
    return folder


def _make_environment(folder: Path) -> None:
    """An environment that borrows the packages of the one that runs the tests."""
    environment = folder / ".venv"
    venv.create(environment, symlinks=sys.platform != "win32")
    packages = next(environment.rglob("site-packages"))
    (packages / "borrowed.pth").write_text(sysconfig.get_path("purelib"))
    with stamp.renewed(environment / "dev-stamp", [folder / name for name in PACKAGES]):
        pass


def _link_node_modules(folder: Path) -> None:
    modules = folder / "node_modules"
    modules.mkdir()
    for each in (ROOT / "node_modules").iterdir():
        if each.is_dir():
            (modules / each.name).symlink_to(each)
    with stamp.renewed(modules / "dev-stamp", [folder / name for name in NODE_PACKAGES]):
        pass
