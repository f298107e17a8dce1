"""`host.json` and `local.settings.json`: read as Core Tools read them, comments and trailing commas included."""

import json
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emulator.errors import AppError

# JSON has neither comments nor trailing commas, but Core Tools accept both. Strings come first in the pattern, so that
# what looks like a comment inside a string stays.
STRING = r'"(?:[^"\\]|\\.)*"'
COMMENT = r"(?>//[^\n]*|/\*.*?\*/)"  # atomic: a comment that has begun is never cut short to make the rest match
TRAILING_COMMA = rf",(?=(?:\s|{COMMENT})*[\]}}])"
NOT_STANDARD_JSON = re.compile(rf"(?P<string>{STRING})|{COMMENT}|{TRAILING_COMMA}", re.DOTALL)

DEFAULTS = {"AZURE_FUNCTIONS_ENVIRONMENT": "Development", "FUNCTIONS_WORKER_RUNTIME": "python"}


def load_json(path: Path) -> dict[str, Any]:
    """Read a JSON object that may have comments and trailing commas; AppError if the file holds anything else."""
    try:
        content = json.loads(_standard_json(path.read_text(encoding="utf-8-sig")))
    except (OSError, ValueError) as error:
        raise AppError(f"{path} cannot be read: {error}") from None
    if not isinstance(content, dict):
        raise AppError(f"{path} must hold a JSON object")
    return content


def _standard_json(text: str) -> str:
    """Blank out comments and trailing commas. Line and column of everything else stay, for error messages."""

    def blank(match: re.Match[str]) -> str:
        return match["string"] or re.sub(r"[^\n]", " ", match[0])

    return NOT_STANDARD_JSON.sub(blank, text)


@dataclass(frozen=True, kw_only=True)
class HostSettings:
    """What the emulator uses of `host.json`."""

    #: What the route of every function begins with, without slashes around it; may be empty.
    route_prefix: str
    #: The default log level, in lower case as the host names it; empty if it is not set.
    log_level: str


def read_host_settings(folder: Path) -> HostSettings:
    """Read `host.json`; AppError if it is wrong."""
    path = folder / "host.json"
    content = load_json(path)
    try:
        log_level = content.get("logging", {}).get("logLevel", {}).get("default", "")
        route_prefix = content.get("extensions", {}).get("http", {}).get("routePrefix", "api")
    except AttributeError:
        raise AppError(f"{path}: logging, logLevel, extensions and http must be objects") from None
    return HostSettings(route_prefix=str(route_prefix), log_level=str(log_level).lower())


def set_environment(folder: Path, port: int) -> None:
    """Give this process the app's settings and folder, as the host does.

    A variable of the environment wins over `local.settings.json`, unless it is empty.
    """
    for name, value in {**DEFAULTS, **_local_values(folder)}.items():
        if not os.environ.get(name):
            os.environ[name] = value
    os.environ["WEBSITE_HOSTNAME"] = f"localhost:{port}"
    os.environ["AzureWebJobsScriptRoot"] = str(folder)  # noqa: SIM112 - the host's own spelling
    os.chdir(folder)
    sys.path.insert(0, str(folder))


def _local_values(folder: Path) -> Mapping[str, str]:
    path = folder / "local.settings.json"
    if not path.exists():
        return {}
    content = load_json(path)
    if content.get("IsEncrypted") is not False:
        raise AppError(f'{path} needs "IsEncrypted": false; encrypted settings cannot be read')
    values = content.get("Values") or {}
    if not isinstance(values, dict) or not all(isinstance(value, str) for value in values.values()):
        raise AppError(f"{path}: Values must be an object of strings")
    return values
