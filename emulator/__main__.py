"""`python -m emulator [FOLDER] --port 7071`: serve a function app on loopback until SIGINT or SIGTERM."""

import argparse
import asyncio
import logging
import os
import re
import signal
import socket
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path

from emulator.admin import Admin
from emulator.app import SCRIPT, AppError, Function, load_functions, load_json, set_environment
from emulator.invoke import Runner, log, without_the_host
from emulator.routes import Route, route_for
from emulator.server import Site, create_server
from emulator.timers import Timer

LEVELS = {"trace": 5, "debug": 10, "information": 20, "warning": 30, "error": 40, "critical": 50, "none": 60}


class Host:
    """Serves the functions of an app, from start to the end of the last run."""

    def __init__(self, functions: Sequence[Function], settings: Mapping[str, str]) -> None:
        threads = settings.get("python_threadpool_thread_count", "")
        self._runner = Runner(int(threads) if threads.isdecimal() and int(threads) else None)
        self._functions, self._stop = functions, asyncio.Event()
        self._timers, self._by_hand = dict[str, Timer](), set[asyncio.Task[None]]()
        self._errors = {one.name: one.wrong for one in functions if one.wrong}
        routes: list[Route] = []
        for function in functions:
            try:
                if function.is_http and not function.wrong:
                    routes.append(route_for(function, routes))
                elif not function.wrong:
                    self._timers[function.name] = Timer(function, settings, self._runner)
            except (ValueError, re.error) as error:
                self._errors[function.name] = str(error)
        self._server = create_server(Site(self._runner, routes, Admin(functions, self._errors, self._run_by_hand)))

    async def serve(self, listening: socket.socket) -> None:
        """Serve on the socket until a signal comes, then until what is running has ended."""
        loop = asyncio.get_running_loop()
        for one in (signal.SIGINT, signal.SIGTERM):
            signal.signal(one, lambda *_: loop.call_soon_threadsafe(self._begin_to_stop))
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        for function in self._functions:
            state = f"{url}/{function.route.lstrip('/')}" if function.is_http else "timer"
            if reason := self._errors.get(function.name):
                log.error("%s: in error, it will not run: %s", function.name, reason)
            else:
                log.info("%s: %s", function.name, "disabled" if function.disabled else state)
        log.info("listening on %s for %s (process %d)", url, Path.cwd(), os.getpid())
        timers = [self._timers[one.name] for one in self._functions if one.name in self._timers and not one.disabled]
        ticking = [asyncio.create_task(timer.listen(self._stop)) for timer in timers]
        await self._server.serve([listening])
        await asyncio.gather(*ticking, *self._by_hand)
        log.info("stopped")
        logging.disable()  # of what the app leaves open: a worker's process is ended too, without clearing up

    def _run_by_hand(self, function: Function) -> None:
        task = asyncio.create_task(self._timers[function.name].run())
        self._by_hand.add(task)
        task.add_done_callback(self._by_hand.discard)

    def _begin_to_stop(self) -> None:
        log.info("stopping, still running: %s", ", ".join(self._runner.running) or "nothing")
        self._stop.set()
        self._server.should_exit = True


async def serve(folder: Path, port: int) -> None:
    """Load the app and serve it; AppError if that cannot be done."""
    if not (folder / f"{SCRIPT}.py").is_file():
        raise AppError(f"{folder} is not a function app: it has no {SCRIPT}.py")
    try:
        listening = socket.create_server(("127.0.0.1", port), backlog=2048)
    except (OSError, OverflowError) as error:
        why = os.strerror(error.errno or 0) if isinstance(error, OSError) else "not from 0 to 65535"
        raise AppError(f"port {port}: {why}; free it, or choose another --port") from None
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # or each body is 40 ms late
    host_json = load_json(folder / "host.json")
    set_environment(folder, listening.getsockname()[1])
    try:
        level = str(host_json.get("logging", {}).get("logLevel", {}).get("default", "")).lower()
        prefix = str(host_json.get("extensions", {}).get("http", {}).get("routePrefix", "api"))
    except AttributeError:
        raise AppError(f"{folder / 'host.json'}: logging, logLevel, extensions and http must be objects") from None
    form = "%(asctime)s.%(msecs)03d %(levelname)-7s %(name)s: %(message)s"
    logging.basicConfig(stream=sys.stdout, level=LEVELS.get(level, logging.INFO), format=form, datefmt="%H:%M:%S")
    logging.getLogger("uvicorn").setLevel(logging.ERROR)
    log.setLevel(logging.INFO)
    await Host(load_functions(prefix), {name.lower(): value for name, value in os.environ.items()}).serve(listening)


def main() -> None:
    """Run the program; it ends with status 1 and a line that says why if the app cannot be served."""
    parser = argparse.ArgumentParser(prog="emulator", description="A small local Azure Functions host.")
    parser.add_argument("folder", nargs="?", default=".", type=Path, help="the function app (default: here)")
    parser.add_argument("--port", type=int, default=7071, help="on 127.0.0.1 (default: 7071; 0: any that is free)")
    arguments = parser.parse_args()
    try:
        asyncio.run(serve(arguments.folder.resolve(), arguments.port))
    except AppError as error:
        if error.__cause__ is not None:
            traceback.print_exception(without_the_host(error.__cause__))
        sys.exit(f"emulator: {error}")


if __name__ == "__main__":
    main()
