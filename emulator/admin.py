"""The host's admin endpoints that developers use: its state, its functions, and starting a function by hand."""

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from emulator.answer import Answer, json_answer
from emulator.app import SCRIPT, Function

STATE = {
    "version": "4.1037.0.0",  # the version whose answers are copied
    "versionDetails": "4.1037.0+emulator",
    "processUptime": 0,
    "platformVersion": "",
    "instanceId": "",
    "computerName": "",
    "id": "emulator",
    "state": "Running",
    "functionAppContentEditingState": "Unknown",
}
PING = Answer(status=200, headers=(("Cache-Control", "no-store,no-cache"), ("Pragma", "no-cache")))


class Admin:
    """Answers requests below /admin.

    `errors` has the reason for each function that is in error. `run` starts a timer function.
    """

    def __init__(
        self, functions: Sequence[Function], errors: Mapping[str, str], run: Callable[[Function], None]
    ) -> None:
        self._functions = {function.name.lower(): function for function in functions}
        self._errors = errors
        self._run = run

    def answer(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer | None:
        """Answer a request; None if the host has no endpoint with this path and method.

        The host then passes such a request to the routes of the functions (WebJobsApplicationBuilderExtension).
        """
        base = f"http://{headers.get('host', '')}"
        match method.upper(), path.lower().strip("/").split("/")[1:]:
            case "GET", ["host", "status"]:
                return json_answer(STATE)
            case "GET" | "POST", ["host", "ping"]:
                return PING
            case "GET", ["functions"]:
                return json_answer([_describe(function, base) for function in self._functions.values()])
            case "POST", ["functions", name]:
                return Answer(status=self._start(name, headers.get("content-type", ""), body))
            case "GET", ["functions", name, *rest] if name in self._functions:
                return self._about(self._functions[name], rest, base)
        return None

    def _about(self, function: Function, rest: Sequence[str], base: str) -> Answer | None:
        if not rest:
            return json_answer(_describe(function, base))
        if rest != ["status"]:
            return None
        error = self._errors.get(function.name)
        return json_answer({"errors": [error]} if error else {})

    def _start(self, name: str, content_type: str, body: bytes) -> int:
        """Start the function that a request names; return the status of the answer."""
        media_type = content_type.partition(";")[0].strip().lower()
        if not media_type.endswith(("/json", "+json")):
            return 415
        if not _is_invocation(body):
            return 400
        function = self._functions.get(name)
        if function is None or function.name in self._errors:
            return 404
        if not function.is_http:
            self._run(function)
        return 202


def _is_invocation(body: bytes) -> bool:
    """Whether the body is a JSON object whose `input`, if it has any, is a plain value."""
    try:
        invocation = json.loads(body)
    except ValueError:
        return False
    return isinstance(invocation, dict) and not isinstance(invocation.get("input"), dict | list)


def _describe(function: Function, base: str) -> dict[str, Any]:
    folder = Path.cwd()
    script = f"{SCRIPT}.py"
    test_data = Path(tempfile.gettempdir(), "FunctionsData", f"{function.name}.dat")
    invoke_url = f"{base}/{function.route}".lower() if function.is_http else None
    return {
        "name": function.name,
        "script_href": f"{base}/admin/vfs{folder.as_posix()}/{script}",
        "test_data_href": f"{base}/admin/vfs{test_data.as_posix()}",
        "script_root_path_href": None,
        "config_href": None,
        "files": None,
        "test_data": "",
        "isDisabled": function.disabled,
        "isDirect": False,
        "isProxy": False,
        "invoke_url_template": invoke_url,
        "href": f"{base}/admin/functions/{function.name}",
        "language": "python",
        "config": {
            "name": function.name,
            "language": "python",
            "entryPoint": function.handler.__name__,
            "scriptFile": script,
            "functionDirectory": str(folder),
            "bindings": function.bindings,
        },
    }
