"""Running one function, async on the event loop, else on a thread: one log line, and nothing it raises gets out."""

import asyncio
import inspect
import logging
import time
import traceback
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from emulator.app import Function

TRACE = ("trace_parent", "trace_state", "Traceparent", "Tracestate")
log = logging.getLogger("emulator")
NOT_THE_APPS = (str(Path(__file__).parent), str(Path("concurrent", "futures")), "importlib")


class Runner:
    """Invokes functions, and knows which are running."""

    def __init__(self, threads: int | None) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="function")
        self.running: list[str] = []

    async def run(self, function: Function, argument: object, convert: Callable[[Any], Any]) -> Any:  # noqa: ANN401
        """Return the converted result; None if the function failed or returned what cannot be converted."""
        self.running.append(function.name)
        started = time.perf_counter()
        try:
            result = await self._call(function, argument)
            if result is not None and not function.is_http:
                raise RuntimeError("a timer function must return None")  # noqa: TRY301 - as any other failure
            converted = convert(result)
            outcome = str(getattr(converted, "status", converted))
        except BaseException as error:  # noqa: BLE001 - SystemExit, too
            trace = "".join(traceback.format_exception(without_the_host(error))).rstrip()
            converted, outcome = None, f"failed\n{trace}"
        self.running.remove(function.name)
        level = logging.INFO if converted is not None else logging.ERROR
        log.log(level, "%s: %.1f ms, %s", function.name, (time.perf_counter() - started) * 1000, outcome)
        return converted

    async def _call(self, function: Function, argument: object) -> object:
        invocation_id, arguments = str(uuid.uuid4()), {function.trigger["name"]: argument}
        if function.takes_context:
            arguments["context"] = SimpleNamespace(
                function_name=function.name,
                function_directory=str(Path.cwd()),
                invocation_id=invocation_id,
                thread_local_storage=SimpleNamespace(invocation_id=invocation_id),
                trace_context=SimpleNamespace(attributes={}, **dict.fromkeys(TRACE, "")),
                retry_context=SimpleNamespace(retry_count=0, max_retry_count=0, exception=None),
            )
        if inspect.iscoroutinefunction(function.handler):
            return await function.handler(**arguments)
        return await asyncio.get_running_loop().run_in_executor(self._threads, partial(function.handler, **arguments))


def without_the_host(error: BaseException) -> BaseException:
    """Return the error with a traceback that begins in the app's code."""
    trace = error.__traceback__
    while trace and any(part in trace.tb_frame.f_code.co_filename for part in NOT_THE_APPS):
        trace = trace.tb_next
    return error.with_traceback(trace)
