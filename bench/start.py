"""Measures the start: the import of the app, and `dev.py start` until its first answer."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from bench.plan import Plan
from bench.report import Row, Section
from bench.servers import answers
from bench.stats import ratios, spread
from devtools.azurite import ROOT
from devtools.child import Child, wait_until
from devtools.ports import free_ports

METHOD = """\
Imports: a new interpreter each time, by turns, timed inside it, compiled files present. *Packages* is what cannot be
avoided: azure.functions, the `aio` modules of the two storage clients, and pydantic. `function_app` puts its storage
adapter off until the first call; "with its adapters" imports that too, and aiohttp with it. `dev.py start`: as in every
run but the first, with packages and Azurite installed; in a copy of the checkout that shares this environment, from the
command to the first 200 of `GET /health`, the start of Azurite included."""

PACKAGES = "import azure.functions, azure.data.tables.aio, azure.storage.queue.aio, pydantic"
APP = "import function_app"
APP_AND_ADAPTERS = f"{APP}, ingest_core.storage.azure, ingest_core.source.choose"
NOT_COPIED = shutil.ignore_patterns(".*", "node_modules", "out", "__pycache__")


def measure(plan: Plan, kinds: list[str], folder: Path) -> Section:
    """Measure imports and `dev.py start`."""
    times: dict[str, list[float]] = {PACKAGES: [], APP: [], APP_AND_ADAPTERS: []}
    for statement in times:
        _import_milliseconds(statement)  # compiles
    for _ in range(plan.imports):
        for statement, taken in times.items():
            taken.append(_import_milliseconds(statement))
    rows = [
        _import_row("import function_app", times[APP], times[PACKAGES], goal=1.15),
        _import_row("import function_app with its adapters", times[APP_AND_ADAPTERS], times[PACKAGES]),
        *(_start_row(plan, kind, folder) for kind in kinds),
    ]
    return Section(title="Start", method=METHOD, rows=rows)


def _import_milliseconds(statement: str) -> float:
    code = f"from time import perf_counter; began = perf_counter(); {statement}; print(perf_counter() - began)"
    env = {**os.environ, "AzureWebJobsStorage": "UseDevelopmentStorage=true"}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    return float(done.stdout) * 1000


def _import_row(what: str, ours: list[float], packages: list[float], *, goal: float | None = None) -> Row:
    times = ratios(ours, packages)
    return Row(
        what=what,
        measured=spread(ours).text("ms"),
        beside=f"packages {spread(packages).text()}: {times.text()} x",
        goal=f"within {goal} x" if goal else "",
        reached=times.middle <= goal if goal else None,
    )


def _start_row(plan: Plan, kind: str, folder: Path) -> Row:
    what = f"`dev.py start`, all set up, to the first answer, {kind}"
    if not (Path(sys.prefix) / "dev-stamp").is_file() or not (ROOT / "node_modules" / "dev-stamp").is_file():
        return Row(what=what, measured="not measured", beside="dev.py did not set this environment up: `dev.py bench`")
    checkout = folder / f"checkout-{kind}"
    shutil.copytree(ROOT, checkout, ignore=NOT_COPIED)
    (checkout / ".venv").symlink_to(sys.prefix, target_is_directory=True)
    (checkout / "node_modules").symlink_to(ROOT / "node_modules", target_is_directory=True)
    runs = 1 if plan.name == "quick" else 5
    taken = [_start_seconds(kind, checkout, folder) for _ in range(runs)]
    return Row(
        headline=True,
        what=what,
        measured=spread(taken).text("s"),
        goal="a few seconds",
        reached=spread(taken).middle <= 5,
    )


def _start_seconds(kind: str, checkout: Path, folder: Path) -> float:
    (port,) = free_ports(1)
    python = getattr(sys, "_base_executable", sys.executable)
    command = [python, "dev.py", "start", "--host", kind, "--port", str(port)]
    began = time.perf_counter()
    process = Child(command, log=folder / "dev-start.log", cwd=checkout)
    try:
        wait_until(lambda: not process.running() or answers(port), seconds=120, what="dev.py start answers")
        taken = time.perf_counter() - began
        assert process.running(), process.output()
    finally:
        process.signal(signal.SIGTERM)
        process.wait(60)
    return taken
