"""The part of the host's administration that a developer uses: its state, its functions, running one by hand."""

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from emulator.app import SCRIPT, Function
from emulator.translate import Answer

STATE: dict[str, Any] = {"version": "4.1037.0.0", "versionDetails": "4.1037.0+emulator", "processUptime": 0}
STATE |= dict.fromkeys(("platformVersion", "instanceId", "computerName"), "")
STATE |= {"id": "emulator", "state": "Running", "functionAppContentEditingState": "Unknown"}


class Admin:
    """Answers what is asked below /admin."""

    def __init__(self, functions: Sequence[Function], errors: Mapping[str, str], run: Callable[..., None]) -> None:
        self._functions = {function.name.lower(): function for function in functions}
        self._errors, self._run = errors, run

    def answer(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer | None:
        """Answer one request; None if no route fits: then it is the functions' (WebJobsApplicationBuilderExtension)."""
        base, found = f"http://{headers.get('host', '')}", None
        match method.upper(), path.lower().strip("/").split("/")[1:]:
            case "GET", ["host", "status"]:
                found = _json(STATE)
            case "GET" | "POST", ["host", "ping"]:
                found = Answer(status=200, headers=(("Cache-Control", "no-store,no-cache"), ("Pragma", "no-cache")))
            case "GET", ["functions"]:
                found = _json([_describe(function, base) for function in self._functions.values()])
            case "GET", ["functions", name] if name in self._functions:
                found = _json(_describe(self._functions[name], base))
            case "GET", ["functions", name, "status"] if name in self._functions:
                error = self._errors.get(self._functions[name].name)
                found = _json({"errors": [error]} if error else {})
            case "POST", ["functions", name]:
                found = Answer(status=self._invoke(name, headers.get("content-type", ""), body))
        return found

    def _invoke(self, name: str, content_type: str, body: bytes) -> int:
        if not content_type.partition(";")[0].strip().lower().endswith(("/json", "+json")):
            return 415
        try:
            invocation = json.loads(body)
        except ValueError:
            return 400
        if not isinstance(invocation, dict) or isinstance(invocation.get("input"), dict | list):
            return 400
        function = self._functions.get(name)
        if function is None or function.name in self._errors:
            return 404
        if not function.is_http:
            self._run(function)
        return 202


def _describe(function: Function, base: str) -> dict[str, Any]:
    folder, name, script = Path.cwd(), {"name": function.name, "language": "python"}, f"{SCRIPT}.py"
    data = Path(tempfile.gettempdir(), "FunctionsData", f"{function.name}.dat").as_posix()
    code = {"entryPoint": function.handler.__name__, "scriptFile": script, "functionDirectory": str(folder)}
    links = {"script": f"vfs{folder.as_posix()}/{script}", "test_data": f"vfs{data}"}
    described: dict[str, Any] = {f"{what}_href": f"{base}/admin/{link}" for what, link in links.items()}
    described |= {"script_root_path_href": None, "config_href": None, "files": None, "test_data": ""}
    described |= {"isDisabled": function.disabled, "isDirect": False, "isProxy": False}
    described |= {"invoke_url_template": f"{base}/{function.route}".lower() if function.is_http else None}
    described |= {"href": f"{base}/admin/functions/{function.name}"}
    return name | described | {"config": name | code | {"bindings": function.bindings}}


def _json(content: object) -> Answer:
    body = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
    return Answer(status=200, headers=(("Content-Type", "application/json; charset=utf-8"),), body=body)
