"""The deployment package: what `azd deploy` uploads, with its packages beside it, as the remote build puts them."""

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from devtools.azurite import ROOT

SITE_PACKAGES = Path(".python_packages") / "lib" / "site-packages"
PIP = ("install", "--quiet", "--disable-pip-version-check", "--no-input", "--no-compile", "--requirement")
HOST_PACKAGES = ("uvicorn", "h11", "click")
"""What the emulator needs beyond the standard library and the packages of the app."""


def deployed_files(root: Path, scratch: Path) -> list[str]:
    """The files below `root` that `.funcignore` leaves in, by the rules of `.gitignore`, which it shares."""
    store = scratch / "no-history.git"
    subprocess.run(["git", "init", "--quiet", "--bare", str(store)], check=True)
    git = ["git", f"--git-dir={store}", f"--work-tree={root}"]
    listing = [*git, "ls-files", "-z", "--others", "--exclude-from", str(root / ".funcignore")]
    found = subprocess.run(listing, cwd=root, capture_output=True, text=True, check=True).stdout
    return sorted(name for name in found.split("\0") if name)


def build(folder: Path, scratch: Path) -> Path:
    """Make the package in `folder`. Downloads are kept in pip's own cache."""
    for name in deployed_files(ROOT, scratch):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target)
    places = [str(folder / "requirements.txt"), "--target", str(folder / SITE_PACKAGES)]
    command = [sys.executable, "-m", "pip", *PIP, *places]
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=300)
    return folder


def environment(package: Path, *others: Path) -> Mapping[str, str]:
    """The variables under which `python -S -P` imports from the package's packages and `others`, and nothing else."""
    paths = [*others, package / SITE_PACKAGES]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths)), "PYTHONNOUSERSITE": "1"}


def lay_out_host(folder: Path) -> Path:
    """A folder with the emulator and its web server, and nothing else from the repository or its environment."""
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "emulator", folder / "emulator", ignore=ignore)
    for name in HOST_PACKAGES:
        spec = importlib.util.find_spec(name)
        assert spec, f"{name} is not installed"
        assert spec.submodule_search_locations, f"{name} is no package"
        shutil.copytree(spec.submodule_search_locations[0], folder / name, ignore=ignore)
    return folder
