"""Writes RESULTS.md: the results of one run with their methods, the date, the versions, and a picture."""

import json
import os
import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from textwrap import fill

from bench import picture
from bench.plan import Plan
from bench.report import Section, as_markdown, headlines, verdicts
from devtools.azurite import ROOT
from tests.support.hosts import func_version

PAGE = ROOT / "bench" / "RESULTS.md"
PICTURE = ROOT / "bench" / "results.svg"
PACKAGES = ("azure-functions", "azure-data-tables", "azure-storage-queue", "aiohttp", "pydantic", "uvicorn", "fastapi")

HEAD = """\
Written by `python3 dev.py bench{option} --write` on {date} ({seconds:.0f} s). {verdict}.

Everything ran on one machine: {machine}; the load generator, the host and Azurite shared its cores{others}. Figures are
medians with quartiles in brackets, ratios are taken round by round within this run. Read the ratios: the milliseconds
are this machine's.

Hosts measured: {hosts}. Versions: {versions}."""


def busy() -> float:
    """The load average of the last minute: how many processes want a processor. 0 if the system does not tell."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0


def write(plan: Plan, kinds: Sequence[str], sections: Sequence[Section], *, seconds: float, busy_before: float) -> None:
    """Write the page and its picture."""
    text = HEAD.format(
        option="" if plan.name == "usual" else f" --{plan.name}",
        date=datetime.now(UTC).date(),
        seconds=seconds,
        verdict=verdicts(sections),
        machine=f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        others=f" with other work (load average {busy_before:.1f} before the run)" if busy_before >= 0.5 else "",
        hosts=", ".join(kinds) if func_version() else "emulator (Core Tools' `func` was not on PATH)",
        versions=", ".join(versions()),
    )
    paragraphs = [fill(paragraph, 120, break_on_hyphens=False) for paragraph in text.split("\n\n")]
    head = "\n\n".join(
        ["# What the service costs", headlines(sections), *paragraphs, f"![The figures as bars]({PICTURE.name})\n"]
    )
    PAGE.write_text("\n".join([head, *map(as_markdown, sections)]), encoding="utf-8")
    charts = [chart for section in sections for chart in section.charts]
    PICTURE.write_text(picture.as_svg(charts), encoding="utf-8")


def versions() -> list[str]:
    """The names and versions of the programs and packages that were measured."""
    node = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    azurite = json.loads((ROOT / "node_modules" / "azurite" / "package.json").read_text(encoding="utf-8"))["version"]
    found = [f"Python {platform.python_version()}", f"Node {node.removeprefix('v')}", f"Azurite {azurite}"]
    found += [f"func {func_version()}"] if func_version() else []
    return [*found, *(f"{name} {version(name)}" for name in PACKAGES)]
