"""Serves the functions of an app until a signal ends the process."""

import asyncio
import os
import re
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn

from emulator.admin import Admin
from emulator.app import Function
from emulator.invocations import Invocations
from emulator.invoke import Runner
from emulator.log import log, traceback_of
from emulator.routes import Route, route_for
from emulator.server import Site, create_server
from emulator.stopping import CLEAN_UP_SECONDS, Signals, end_process
from emulator.timers import Timer

POLL_SECONDS = 0.05


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of the command line."""

    #: The function key that callers need; None lets every caller in.
    key: str | None
    #: How long the process may live on after SIGTERM.
    grace_seconds: float


class Host:
    """Serves the functions of an app. Each function that is not in error has a timer or a route."""

    def __init__(self, functions: Sequence[Function], settings: Mapping[str, str], options: Options) -> None:
        self._functions = functions
        self._options = options
        self._invocations = Invocations()
        self._runner = Runner(self._invocations, threads=_thread_count(settings))
        self._errors = {function.name: function.error for function in functions if function.error}
        self._timers: dict[str, Timer] = {}
        self._routes: list[Route] = []
        for function in functions:
            if not function.error:
                self._add(function, settings)
        self._stop_timers = asyncio.Event()
        self._tasks = set[asyncio.Task[Any]]()

    def _add(self, function: Function, settings: Mapping[str, str]) -> None:
        try:
            if function.is_http:
                self._routes.append(route_for(function, self._routes))
            else:
                self._timers[function.name] = Timer(function, settings, self._runner)
        except (ValueError, re.error) as error:
            self._errors[function.name] = str(error)

    async def serve(self, listening: socket.socket) -> None:
        """Serve on the socket until a signal comes, then end the process."""
        self._invocations.follow(asyncio.get_running_loop())
        signals = Signals(grace_seconds=self._options.grace_seconds)
        signals.install()
        self._log_functions(listening.getsockname()[1])
        for timer in self._active_timers():
            self._start(timer.listen(self._stop_timers))
        admin = Admin(self._functions, self._errors, self._run_by_hand)
        server = create_server(Site(self._runner, self._routes, admin, key=self._options.key))
        serving = self._start(server.serve([listening]))
        await signals.asked_to_end.wait()
        await self._end(signals, server, serving)
        log.info("The emulator has stopped.")
        end_process()

    def _log_functions(self, port: int) -> None:
        url = f"http://127.0.0.1:{port}"
        for function in self._functions:
            error = self._errors.get(function.name)
            if error:
                log.error("%s: in error, it will not run: %s", function.name, error)
            elif function.disabled:
                log.info("%s: disabled", function.name)
            elif function.is_http:
                log.info("%s: %s/%s", function.name, url, function.route.lstrip("/"))
            else:
                log.info("%s: timer", function.name)
        log.info("listening on %s for %s (process %d)", url, Path.cwd(), os.getpid())

    def _start(self, coroutine: Any) -> asyncio.Task[Any]:  # noqa: ANN401 - any coroutine
        """Run a part of the emulator as a task. If it fails, the error is logged."""
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._log_task_failure)
        return task

    def _log_task_failure(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("A part of the emulator has failed:\n%s", traceback_of(error))

    def _run_by_hand(self, function: Function) -> None:
        self._start(self._timers[function.name].run())

    async def _end(self, signals: Signals, server: uvicorn.Server, serving: asyncio.Task[Any]) -> None:
        log.info("The emulator is stopping. Still running: %s", ", ".join(self._runner.running) or "nothing")
        server.should_exit = True
        idle = asyncio.create_task(self._wait_until_idle(serving))
        interrupted = asyncio.create_task(signals.interrupted.wait())
        await asyncio.wait([idle, interrupted], return_when=asyncio.FIRST_COMPLETED)
        self._stop_timers.set()
        if signals.interrupted.is_set():
            idle.cancel()
            cleaning_up = asyncio.create_task(self._invocations.cancel(CLEAN_UP_SECONDS))
            await asyncio.wait([cleaning_up, serving, *self._tasks], timeout=CLEAN_UP_SECONDS)

    async def _wait_until_idle(self, serving: asyncio.Task[Any]) -> None:
        """Wait until open requests are answered, and then until no function runs and no timer is due."""
        await asyncio.wait([serving])
        while self._is_busy():  # noqa: ASYNC110 - no event is set when a timer stops being due
            await asyncio.sleep(POLL_SECONDS)

    def _is_busy(self) -> bool:
        return bool(self._runner.running) or any(timer.is_due() for timer in self._active_timers())

    def _active_timers(self) -> list[Timer]:
        return [
            self._timers[function.name]
            for function in self._functions
            if function.name in self._timers and not function.disabled
        ]


def _thread_count(settings: Mapping[str, str]) -> int | None:
    """Return how many synchronous functions may run at once; None means Python's default, as in the worker."""
    count = settings.get("python_threadpool_thread_count", "")
    if count.isdecimal() and int(count) > 0:
        return int(count)
    return None
