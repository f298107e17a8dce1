"""How the process ends.

- SIGINT (Ctrl-C) ends it in order: timer runs and the tasks that runs have left behind are cancelled and may clean up.
  After a second SIGINT it is gone at once.
- SIGTERM ends it as the real host ends: new connections are refused and open requests answered, while timers go on
  running. After the grace period it is gone, in the middle of whatever runs, and nothing is cancelled.

A thread watches over both limits, so that a function that blocks the event loop cannot delay the end.
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
#: After SIGTERM, how long the process may live on if something runs; `--grace` sets another limit.
GRACE_SECONDS = 30.0
#: What the end in order may take beyond CLEAN_UP_SECONDS, and a last line on the log beyond any limit.
MARGIN_SECONDS = 1.0
EXIT_INTERRUPTED = 128 + signal.SIGINT


class Signals:
    """Hears SIGINT and SIGTERM on behalf of the event loop."""

    def __init__(self, *, grace_seconds: float) -> None:
        self._grace_seconds = grace_seconds
        self._loop = asyncio.get_running_loop()
        self._has_interrupt = False
        self._has_terminate = False
        #: SIGINT has come.
        self.interrupted = asyncio.Event()
        #: A signal has come.
        self.asked_to_end = asyncio.Event()

    def hear(self) -> None:
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
    """End at once, without clearing up what the app leaves open: the host ends its worker in the same way."""
    _flush()
    os._exit(0)


def _flush() -> None:
    with suppress(OSError, ValueError):  # whoever read the output may have gone
        logging.shutdown()
        sys.stdout.flush()


def _end_process_after(seconds: float) -> None:
    def last_words() -> None:
        log.warning("Something still runs: the process ends in the middle of it.")
        _flush()

    def end() -> None:
        writer = threading.Thread(target=last_words, daemon=True)  # its reader may be stuck, and so may the log's lock
        writer.start()
        writer.join(MARGIN_SECONDS)
        os._exit(0)

    watch = threading.Timer(seconds, end)
    watch.daemon = True
    watch.start()
