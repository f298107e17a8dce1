"""Ends the process on a signal.

- SIGINT (Ctrl-C): timer runs and the tasks that runs have left behind are cancelled and may clean up. A second SIGINT
  ends the process at once.
- SIGTERM ends the process as it ends the real host: new connections are refused, open requests are answered, and timers
  go on. The process ends when nothing runs, or after the grace period in the middle of what runs. Nothing is cancelled.

A thread enforces both time limits, so that a function that blocks the event loop cannot delay the end.
"""

import asyncio
import logging
import os
import signal
import sys
import threading
from contextlib import suppress
from types import FrameType
from typing import NoReturn

from emulator.log import log

#: After SIGINT, how long cancelled runs may clean up and open HTTP calls may end.
CLEAN_UP_SECONDS = 3.0
#: After SIGTERM, how long the process may go on if something runs; `--grace` sets another limit.
GRACE_SECONDS = 30.0
#: Extra time: for the rest of the shutdown after CLEAN_UP_SECONDS, and for the last log line after either limit.
MARGIN_SECONDS = 1.0
EXIT_INTERRUPTED = 128 + signal.SIGINT


class Signals:
    """Handles SIGINT and SIGTERM, and sets events of the event loop."""

    def __init__(self, *, grace_seconds: float) -> None:
        self._grace_seconds = grace_seconds
        self._loop = asyncio.get_running_loop()
        self._has_interrupt = False
        self._has_terminate = False
        #: Set after SIGINT.
        self.interrupted = asyncio.Event()
        #: Set after SIGINT or SIGTERM.
        self.asked_to_end = asyncio.Event()

    def install(self) -> None:
        """Replace the handlers of both signals."""
        signal.signal(signal.SIGINT, self._interrupt)
        signal.signal(signal.SIGTERM, self._terminate)

    def _interrupt(self, _number: int, _frame: FrameType | None) -> None:
        if self._has_interrupt:
            os._exit(EXIT_INTERRUPTED)
        self._has_interrupt = True
        _end_process_after(CLEAN_UP_SECONDS + MARGIN_SECONDS)
        self._loop.call_soon_threadsafe(self.interrupted.set)
        self._loop.call_soon_threadsafe(self.asked_to_end.set)

    def _terminate(self, _number: int, _frame: FrameType | None) -> None:
        if self._has_interrupt or self._has_terminate:
            return
        self._has_terminate = True
        _end_process_after(self._grace_seconds)
        self._loop.call_soon_threadsafe(self.asked_to_end.set)


def end_process() -> NoReturn:
    """End at once and do not close what the app has left open. The host ends its worker in the same way."""
    _flush()
    os._exit(0)


def _flush() -> None:
    with suppress(OSError, ValueError):  # the reader of the output may have ended
        logging.shutdown()
        sys.stdout.flush()


def _end_process_after(seconds: float) -> None:
    def warn() -> None:
        log.warning("Something still runs: the process ends in the middle of it.")
        _flush()

    def end() -> None:
        # In a thread, because writing blocks forever if the output's reader hangs or another thread has the log's lock.
        writer = threading.Thread(target=warn, daemon=True)
        writer.start()
        writer.join(MARGIN_SECONDS)
        os._exit(0)

    watch = threading.Timer(seconds, end)
    watch.daemon = True
    watch.start()
