"""Sets up logging, and writes tracebacks that begin in the app's code."""

import logging
import sys
import traceback
from io import TextIOWrapper
from pathlib import Path

FORMAT = "%(asctime)s.%(msecs)03d %(levelname)-7s %(name)s: %(message)s"
# The names of log levels in `host.json`.
LEVELS = {"trace": 5, "debug": 10, "information": 20, "warning": 30, "error": 40, "critical": 50, "none": 60}
NOT_THE_APPS = (str(Path(__file__).parent), str(Path("concurrent", "futures")), "importlib")

log = logging.getLogger("emulator")


def set_up_logging(level: str, line_filter: logging.Filter, *, verbose: bool) -> None:
    """Log to standard output: the app's lines from `level` up, the emulator's from INFO up (DEBUG if `verbose`)."""
    if isinstance(sys.stdout, TextIOWrapper):  # a terminal that knows no umlaut must not cost the line
        sys.stdout.reconfigure(errors="backslashreplace")
    handler = logging.StreamHandler(sys.stdout)
    handler.addFilter(line_filter)
    logging.basicConfig(handlers=[handler], level=LEVELS.get(level, logging.INFO), format=FORMAT, datefmt="%H:%M:%S")
    logging.getLogger("uvicorn").setLevel(logging.ERROR)
    log.setLevel(logging.DEBUG if verbose else logging.INFO)


def traceback_of(error: BaseException) -> str:
    """Return the traceback as a text that begins in the app's code."""
    return "".join(traceback.format_exception(without_the_host(error))).rstrip()


def without_the_host(error: BaseException) -> BaseException:
    """Return the error with a traceback that begins in the app's code."""
    trace = error.__traceback__
    while trace and _is_of_the_host(trace.tb_frame.f_code.co_filename):
        trace = trace.tb_next
    return error.with_traceback(trace)


def _is_of_the_host(filename: str) -> bool:
    return any(part in filename for part in NOT_THE_APPS)
