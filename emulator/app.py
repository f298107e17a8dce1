"""Loads the functions of an app from its `function_app.py`, as the host's Python worker does."""

import importlib
import inspect
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from azure.functions.decorators.function_app import FunctionRegister

from emulator.errors import AppError

SCRIPT = "function_app"
FUNCTION_NAME = re.compile("(?!host$)[a-zA-Z][a-zA-Z0-9_-]*")
SUPPORTED_TRIGGERS = {"httpTrigger", "timerTrigger"}

Binding = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Function:
    """A function of the app, as the host indexes it."""

    name: str
    handler: Callable[..., Any]
    bindings: Sequence[Binding]
    #: The binding among `bindings` that starts the function.
    trigger: Binding
    #: The route template with the app's prefix; only an HTTP function uses it.
    route: str
    #: True for an HTTP function, False for a timer.
    is_http: bool
    #: Whether the handler has a parameter `context`.
    takes_context: bool
    disabled: bool
    #: Why the function cannot run, as far as its name and its bindings show; empty if they are right.
    error: str

    @property
    def needs_key(self) -> bool:
        """Whether callers need a key. They do if there is no `authLevel`."""
        return self.is_http and str(self.trigger.get("authLevel") or "function").lower() != "anonymous"


def load_functions(prefix: str) -> list[Function]:
    """Import the app in the current folder and return its functions, in the host's order; AppError if that fails."""
    try:
        module = importlib.import_module(SCRIPT)
        apps = [value for value in vars(module).values() if isinstance(value, FunctionRegister)]
        functions = []
        if apps:
            functions = [_function(indexed, prefix) for indexed in apps[0].get_functions()]
    except BaseException as error:  # an app may also raise SystemExit
        raise AppError(f"{SCRIPT}.py cannot be loaded: {type(error).__name__}: {error}") from error
    if len(apps) != 1 or not functions:
        raise AppError(f"{SCRIPT}.py must have one FunctionApp, not {len(apps)} with {len(functions)} functions")
    return sorted(functions, key=lambda function: function.name.upper())  # in upper case, `_` sorts after the letters


def _function(indexed: Any, prefix: str) -> Function:  # noqa: ANN401 - the library has no public type
    name = str(indexed.get_function_name())
    handler = indexed.get_user_function()
    bindings = [json.loads(binding) for binding in indexed.get_raw_bindings()]
    trigger = _trigger(bindings)
    route = trigger.get("route") or name
    if prefix:
        route = f"{prefix}/{route}"
    return Function(
        name=name,
        handler=handler,
        bindings=bindings,
        trigger=trigger,
        route=route,
        is_http=trigger["type"] == "httpTrigger",
        takes_context=_takes_context(name, handler, bindings),
        disabled=_is_disabled(name),
        error=_error(name, bindings),
    )


def _trigger(bindings: Sequence[Binding]) -> Binding:
    for binding in bindings:
        if binding["type"].endswith("Trigger"):
            return binding
    return bindings[0]


def _bound_names(bindings: Sequence[Binding]) -> set[str]:
    return {binding["name"] for binding in bindings} - {"$return"}


def _takes_context(name: str, handler: Callable[..., Any], bindings: Sequence[Binding]) -> bool:
    """Whether the handler has a parameter `context`; ValueError if its other parameters are not its bindings."""
    parameters = set(inspect.signature(handler).parameters)
    bound = _bound_names(bindings)
    unbound = parameters - bound
    if bound - parameters or unbound - {"context"}:
        raise ValueError(f"function {name} takes {sorted(parameters)}, but its bindings are {sorted(bound)}")
    return "context" in unbound


def _is_disabled(name: str) -> bool:
    """Whether the setting `AzureWebJobs.NAME.Disabled` is true. Its dots may be written as `_`, and case is ignored."""
    switches = {f"azurewebjobs.{name}.disabled".lower(), f"azurewebjobs_{name}_disabled".lower()}
    values = [value.lower() for key, value in os.environ.items() if key.lower() in switches]
    return "true" in values or "1" in values


def _error(name: str, bindings: Sequence[Binding]) -> str:
    """Return the reason why a function with this name and these bindings cannot run, or an empty text."""
    errors = [f"The emulator does not support the binding type {kind}." for kind in _unsupported(bindings)]
    # Since 4.1038 the host accepts single underscores. An app that should run on every version must not use them.
    invalid = [bound for bound in sorted(_bound_names(bindings)) if not (bound.isascii() and bound.isalnum())]
    errors += [f"The binding name {bound} is invalid. Please assign a valid name to the binding." for bound in invalid]
    if not FUNCTION_NAME.fullmatch(name):
        errors.append(f"'{name}' is not a valid function name.")
    return " ".join(errors)


def _unsupported(bindings: Sequence[Binding]) -> list[str]:
    """Return the types of binding that are neither a supported trigger nor the HTTP answer."""
    kinds = {binding["type"] for binding in bindings if (binding["type"], binding["name"]) != ("http", "$return")}
    return sorted(kinds - SUPPORTED_TRIGGERS)
