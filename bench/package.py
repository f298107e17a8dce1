"""Measures the deployment package: its size, and how long its first import takes."""

import subprocess
import sys
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

from bench.plan import Plan
from bench.report import Row, Section
from bench.stats import spread
from tests.support.package import SITE_PACKAGES, build, environment

METHOD = """\
The package is built as the deployment does it (`.funcignore` applied, the packages of `requirements.txt` beside the
app), without compiled files. Imports: a new interpreter each time, which sees the package alone, timed inside it. The
first one of all finds nothing compiled and compiles what it imports; an instance that starts on Azure does the same
with the app, while its packages were compiled by the build."""

ADAPTERS = "import function_app, ingest_core.storage.azure, ingest_core.source.choose"


def measure(plan: Plan, folder: Path) -> Section:
    """Build the package, measure its size, and import it."""
    package = build(folder / "package", folder)
    files = [path for path in package.rglob("*") if path.is_file()]
    own = [path for path in files if package / SITE_PACKAGES not in path.parents]
    packed = _packed(package, files, folder / "package.zip")
    first = _import_milliseconds(package)
    later = [_import_milliseconds(package) for _ in range(plan.imports)]
    rows = [
        Row(
            what="deployment package, unpacked",
            measured=f"{_megabytes(files):.1f} MB",
            beside=f"{len(files)} files; the app's own {_megabytes(own):.2f} MB in {len(own)}",
        ),
        Row(what="deployment package, as a zip file", measured=f"{packed:.1f} MB"),
        Row(what="import of the package with its adapters, nothing compiled", measured=f"{first:.0f} ms"),
        Row(what="import of the package with its adapters, compiled", measured=spread(later).text("ms")),
    ]
    return Section(title="Deployment package", method=METHOD, rows=rows)


def _megabytes(files: list[Path]) -> float:
    return sum(path.stat().st_size for path in files) / 1e6


def _packed(package: Path, files: list[Path], target: Path) -> float:
    with ZipFile(target, "w", ZIP_DEFLATED) as archive:
        for path in files:
            archive.write(path, path.relative_to(package))
    return target.stat().st_size / 1e6


def _import_milliseconds(package: Path) -> float:
    code = (
        "import sys; from time import perf_counter; sys.path.insert(0, '.'); "
        f"began = perf_counter(); {ADAPTERS}; print(perf_counter() - began)"
    )
    env = {**environment(package), "AzureWebJobsStorage": "UseDevelopmentStorage=true"}
    env.pop("PYTHONDONTWRITEBYTECODE", None)  # with it, the later imports would not find compiled files
    command = [sys.executable, "-S", "-P", "-c", code]
    done = subprocess.run(command, cwd=package, env=env, capture_output=True, text=True, check=True)
    return float(done.stdout) * 1000
