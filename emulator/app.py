"""What the folder of a function app says: its settings and its functions. What cannot be served is an AppError."""

import importlib
import inspect
import json
import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from azure.functions.decorators.function_app import FunctionRegister

SCRIPT = "function_app"


class AppError(Exception):
    """The app cannot be served; the message is one line that says what to mend."""


@dataclass(frozen=True, kw_only=True)
class Function:
    """One function of the app, as the host indexes it; `is_http`, else it is a timer."""

    name: str
    handler: Callable[..., Any]
    bindings: list[dict[str, Any]]
    trigger: dict[str, Any]
    route: str
    is_http: bool
    takes_context: bool
    disabled: bool
    wrong: str  # why the function is in error, as far as its bindings and its name are


def load_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; AppError if the file is not one."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8-sig")).items())
    except (OSError, ValueError) as error:
        raise AppError(f"{path} cannot be read: {error}") from None
    except AttributeError:
        raise AppError(f"{path} must hold a JSON object") from None


def set_environment(folder: Path, port: int) -> None:
    """Give the app its settings and its folder as the host does; a variable that is set and not empty wins."""
    path = folder / "local.settings.json"
    local = load_json(path) if path.exists() else {"IsEncrypted": False}
    values = local.get("Values") or {}
    if local.get("IsEncrypted") is not False:
        raise AppError(f'{path} needs "IsEncrypted": false; encrypted settings cannot be read')
    defaults = {"AZURE_FUNCTIONS_ENVIRONMENT": "Development", "FUNCTIONS_WORKER_RUNTIME": "python"}
    if not isinstance(values, dict) or not all(isinstance(value, str) for value in values.values()):
        raise AppError(f"{path}: Values must be an object of strings")
    for name, value in (defaults | values).items():
        os.environ[name] = os.environ.get(name) or value
    os.environ |= {"WEBSITE_HOSTNAME": f"localhost:{port}", "AzureWebJobsScriptRoot": str(folder)}
    os.chdir(folder)
    sys.path.insert(0, str(folder))


def load_functions(prefix: str) -> list[Function]:
    """Import the app in the current folder and return its functions in the host's order: by name."""
    try:
        module = importlib.import_module(SCRIPT)
        apps = [value for value in vars(module).values() if isinstance(value, FunctionRegister)]
        functions = [_function(one, prefix) for app in apps[:1] for one in app.get_functions()]
    except BaseException as error:
        raise AppError(f"{SCRIPT}.py cannot be loaded: {type(error).__name__}: {error}") from error
    if len(apps) != 1 or not functions:
        raise AppError(f"{SCRIPT}.py must have one FunctionApp, not {len(apps)} with {len(functions)} functions")
    return sorted(functions, key=lambda function: function.name.upper())  # `_` comes after the letters


def _function(indexed: Any, prefix: str) -> Function:  # noqa: ANN401 - the library has no public type
    name, handler = str(indexed.get_function_name()), indexed.get_user_function()
    bindings = [json.loads(binding) for binding in indexed.get_raw_bindings()]
    bound = {binding["name"] for binding in bindings} - {"$return"}
    taken = set(inspect.signature(handler).parameters)
    if taken - bound - {"context"} or bound - taken:
        raise ValueError(f"function {name} takes {sorted(taken)}, but what is bound is {sorted(bound)}")
    others = {one["type"] for one in bindings if (one["type"], one["name"]) != ("http", "$return")}
    wrong = [f"the emulator has no {other}" for other in sorted(others - {"httpTrigger", "timerTrigger"})]
    # Since 4.1038 a name may have underscores, but not two in a row; an app that has to run everywhere has none.
    bad = (one for one in sorted(bound) if not (one.isascii() and one.isalnum()))
    wrong += [f"The binding name {one} is invalid. Please assign a valid name to the binding." for one in bad]
    wrong += [f"'{name}' is not a valid function name."] * (not re.fullmatch("(?!host$)[a-zA-Z][a-zA-Z0-9_-]*", name))
    trigger = next((binding for binding in bindings if binding["type"].endswith("Trigger")), bindings[0])
    route, true = trigger.get("route") or name, (k.lower() for k, v in os.environ.items() if v.lower() in ("true", "1"))
    off = {f"azurewebjobs{sign}{name}{sign}disabled".lower() for sign in "._"}  # `_` where a dot cannot be
    return Function(
        name=name,
        handler=handler,
        bindings=bindings,
        trigger=trigger,
        route=f"{prefix}/{route}" if prefix else route,
        is_http=trigger["type"] == "httpTrigger",
        takes_context="context" in taken - bound,
        disabled=not off.isdisjoint(true),
        wrong=" ".join(wrong),
    )
