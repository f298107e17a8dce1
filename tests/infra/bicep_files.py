"""The files of infra/, as text and as the tree that pycep makes of them."""

import json
import re
from functools import cache
from typing import Any

from pycep import BicepParser

from devtools.azurite import ROOT

INFRA = ROOT / "infra"
FILES = tuple(sorted(path.name for path in INFRA.glob("*.bicep")))
STATE_LINE = re.compile(r"^service\.state .*$", re.MULTILINE)


@cache
def tree(name: str) -> dict[str, Any]:
    """What a Bicep file says."""
    return dict(BicepParser().parse(text=(INFRA / name).read_text()))


def config(name: str, resource: str) -> dict[str, Any]:
    """What stands between the braces of a resource; for a loop or a condition, of what it makes."""
    found: dict[str, Any] = tree(name)["resources"][resource]["config"]
    while isinstance(found.get("config"), dict):
        found = found["config"]
    return found


def variable(name: str, symbol: str) -> Any:  # a variable is anything
    """The value of a variable."""
    return tree(name)["variables"][symbol]["value"]


def app_settings() -> dict[str, Any]:
    """The app settings that the deployment sets, by name."""
    return dict(variable("service.bicep", "settingsOfTheService"))


def parameters_file() -> dict[str, str]:
    """What azd passes to main.bicep, by parameter."""
    entries = json.loads((INFRA / "main.parameters.json").read_text())["parameters"]
    return {name: entry["value"] for name, entry in entries.items()}


def state_line() -> str:
    """The line `service.state`, as docs/operations.md shows it."""
    found = STATE_LINE.search((ROOT / "docs" / "operations.md").read_text())
    assert found, "docs/operations.md shows no line service.state"
    return found[0]
