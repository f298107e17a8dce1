"""`python -m emulator [FOLDER] --port 7071`: serve a function app on loopback until SIGINT or SIGTERM."""

import argparse
import asyncio
import os
import socket
import sys
from pathlib import Path

from emulator.app import SCRIPT, load_functions
from emulator.errors import AppError
from emulator.host import Host, Options
from emulator.invocations import EndedRunFilter
from emulator.log import set_up_logging, traceback_of
from emulator.settings import read_host_settings, set_environment
from emulator.stopping import EXIT_INTERRUPTED, GRACE_SECONDS


async def serve(arguments: argparse.Namespace) -> None:
    """Load the app and serve it until the process ends; AppError if the app cannot be served."""
    folder = arguments.folder.resolve()
    if not (folder / f"{SCRIPT}.py").is_file():
        raise AppError(f"{folder} is not a function app: it has no {SCRIPT}.py")
    listening = _listen(arguments.port)
    host_settings = read_host_settings(folder)
    set_environment(folder, listening.getsockname()[1])
    set_up_logging(host_settings.log_level, EndedRunFilter(), verbose=arguments.verbose)
    functions = load_functions(host_settings.route_prefix)
    environment = {name.lower(): value for name, value in os.environ.items()}
    options = Options(key=arguments.key, grace_seconds=arguments.grace)
    await Host(functions, environment, options).serve(listening)


def _listen(port: int) -> socket.socket:
    try:
        listening = socket.create_server(("127.0.0.1", port), backlog=2048)
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        raise AppError(f"port {port}: {reason}; free it, or choose another --port") from None
    except OverflowError:
        raise AppError(f"port {port}: not from 0 to 65535; choose another --port") from None
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # without it, each body arrives 40 ms late
    return listening


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="emulator", description="A small local Azure Functions host.")
    parser.add_argument("folder", nargs="?", default=".", type=Path, help="the function app (default: here)")
    parser.add_argument("--port", type=int, default=7071, help="on 127.0.0.1 (default: 7071; 0: any free port)")
    parser.add_argument("--key", type=_key, help="the function key that callers need (default: every caller is let in)")
    parser.add_argument("--verbose", action="store_true", help="log every run and every request")
    parser.add_argument(
        "--grace",
        type=float,
        default=GRACE_SECONDS,
        metavar="SECONDS",
        help="after SIGTERM, how long timers may go on before the process is gone (default: %(default)g)",
    )
    return parser.parse_args()


def _key(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("a key must not be empty")
    return text


def main() -> None:
    """Run the program. If the app cannot be served, it prints the reason and ends with status 1."""
    arguments = _arguments()
    try:
        asyncio.run(serve(arguments))
    except KeyboardInterrupt:  # only before the emulator serves; afterwards it handles SIGINT itself
        sys.exit(EXIT_INTERRUPTED)
    except AppError as error:
        if error.__cause__ is not None:
            sys.stderr.write(f"{traceback_of(error.__cause__)}\n")
        sys.exit(f"emulator: {error}")


if __name__ == "__main__":
    main()
