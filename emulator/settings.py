"""Reads `host.json` and `local.settings.json` as Core Tools do, with comments and trailing commas."""

import json
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emulator.errors import AppError

# JSON has neither comments nor trailing commas, but Core Tools accept both. The pattern matches strings first, so that
# comment signs inside a string stay.
STRING = r'"(?:[^"\\]|\\.)*"'
COMMENT = r"(?>//[^\n]*|/\*.*?\*/)"  # the group is atomic, so that a comment is never shortened to make the rest match
TRAILING_COMMA = rf",(?=(?:\s|{COMMENT})*[\]}}])"
NOT_STANDARD_JSON = re.compile(rf"(?P<string>{STRING})|{COMMENT}|{TRAILING_COMMA}", re.DOTALL)

DEFAULTS = {"AZURE_FUNCTIONS_ENVIRONMENT": "Development", "FUNCTIONS_WORKER_RUNTIME": "python"}


def load_json(path: Path) -> dict[str, Any]:
    """Read a JSON object that may have comments and trailing commas; AppError if the file contains anything else."""
    try:
        content = json.loads(_standard_json(path.read_text(encoding="utf-8-sig")))
    except (OSError, ValueError) as error:
        raise AppError(f"{path} cannot be read: {error}") from None
    if not isinstance(content, dict):
        raise AppError(f"{path} must be a JSON object")
    return content


def _standard_json(text: str) -> str:
    """Replace comments and trailing commas by blanks, so that lines and columns in error messages stay right."""

    def blank(match: re.Match[str]) -> str:
        return match["string"] or re.sub(r"[^\n]", " ", match[0])

    return NOT_STANDARD_JSON.sub(blank, text)


@dataclass(frozen=True, kw_only=True)
class HostSettings:
    """The settings in `host.json` that the emulator uses."""

    #: The beginning of every function's route, without slashes around it; may be empty.
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
    """Set the app's settings as environment variables and change to its folder, as the host does.

    An environment variable that is not empty overrides `local.settings.json`.
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
