"""Runs functions: async functions on the event loop, others on a thread. What a function raises is logged."""

import asyncio
import inspect
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import TypeVar

from emulator.app import Function
from emulator.invocations import Invocation, Invocations
from emulator.log import log, traceback_of

T = TypeVar("T")
TRACE_FIELDS = ("trace_parent", "trace_state", "Traceparent", "Tracestate")


class Runner:
    """Invokes functions, and knows which are running."""

    def __init__(self, invocations: Invocations, *, threads: int | None) -> None:
        self._invocations = invocations
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="function")
        #: Names of the functions that run now. If a function runs twice at once, its name is there twice.
        self.running: list[str] = []

    async def run(self, function: Function, argument: object, convert: Callable[[object], T]) -> T | None:
        """Return the converted result; None if the function failed or its result cannot be converted."""
        invocation = Invocation(function.name, is_http=function.is_http)
        self.running.append(function.name)
        try:
            return await self._invocations.run(invocation, self._run_and_log(function, argument, convert))
        finally:
            self.running.remove(function.name)

    async def _run_and_log(self, function: Function, argument: object, convert: Callable[[object], T]) -> T | None:
        started = time.perf_counter()

        def milliseconds() -> float:
            return (time.perf_counter() - started) * 1000

        try:
            converted = convert(await self._call(function, argument))
        except BaseException as error:  # noqa: BLE001 - a function may also raise SystemExit
            if isinstance(error, asyncio.CancelledError) and _is_being_cancelled():
                log.info("%s: cancelled after %.1f ms", function.name, milliseconds())
            else:
                log.error("%s: failed after %.1f ms\n%s", function.name, milliseconds(), traceback_of(error))
            return None
        log.debug("%s: %.1f ms, %s", function.name, milliseconds(), getattr(converted, "status", "ok"))
        return converted

    async def _call(self, function: Function, argument: object) -> object:
        arguments = {function.trigger["name"]: argument}
        if function.takes_context:
            arguments["context"] = _context(function.name)
        if inspect.iscoroutinefunction(function.handler):
            return await function.handler(**arguments)
        return await asyncio.get_running_loop().run_in_executor(self._threads, partial(function.handler, **arguments))


def _is_being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _context(function_name: str) -> SimpleNamespace:
    """Build the value of a parameter `context`, without tracing and retries."""
    invocation_id = str(uuid.uuid4())
    return SimpleNamespace(
        function_name=function_name,
        function_directory=str(Path.cwd()),
        invocation_id=invocation_id,
        thread_local_storage=SimpleNamespace(invocation_id=invocation_id),
        trace_context=SimpleNamespace(attributes={}, **dict.fromkeys(TRACE_FIELDS, "")),
        retry_context=SimpleNamespace(retry_count=0, max_retry_count=0, exception=None),
    )
