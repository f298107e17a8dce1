"""Makes function objects as the emulator loads them from an app."""

from collections.abc import Callable, Sequence
from typing import Any

from emulator.app import Function


def http_function(name: str, route: str, methods: Sequence[str] | None = None) -> Function:
    """Return an HTTP function below the prefix `api`; without `methods` it serves all."""
    trigger: dict[str, Any] = {"type": "httpTrigger", "name": "req", "route": route}
    if methods is not None:
        trigger["methods"] = methods
    return _function(name, str, trigger, route=f"api/{route}")


def timer_function(name: str, schedule: str, handler: Callable[..., object]) -> Function:
    """Return a timer function that is not monitored."""
    trigger = {"type": "timerTrigger", "name": "timer", "schedule": schedule, "useMonitor": False}
    return _function(name, handler, trigger, route=name)


def _function(name: str, handler: Callable[..., object], trigger: dict[str, Any], *, route: str) -> Function:
    return Function(
        name=name,
        handler=handler,
        bindings=[trigger],
        trigger=trigger,
        route=route,
        is_http=trigger["type"] == "httpTrigger",
        takes_context=False,
        disabled=False,
        error="",
    )
