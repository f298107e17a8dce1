"""Runs a timer function on its schedule. Scheduled runs never overlap."""

import asyncio
import hashlib
import json
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path

from azure.functions.timer import TimerRequest

from emulator.app import Function
from emulator.clock import Clock, JumpDetector, SystemClock
from emulator.invoke import Runner
from emulator.log import log
from emulator.ncrontab import parse
from emulator.timer_policy import UNSET, Status, after_jump, after_run, is_monitored, resume

LONGEST_WAIT_SECONDS = 10.0  # then the wall clock is read again, because it may have been set


class StatusFile:
    """Stores a timer's status in the system's temporary folder, so that it survives restarts. Does nothing if off."""

    def __init__(self, function_name: str, *, is_on: bool) -> None:
        app = hashlib.sha256(str(Path.cwd()).encode()).hexdigest()[:16]
        self._path = Path(tempfile.gettempdir(), "functions-emulator", app, f"{function_name}.json")
        self.is_on = is_on

    def load(self) -> Status | None:
        """Return the saved status, or None if there is none that can be read."""
        if not self.is_on:
            return None
        # The file may be missing, truncated, or written by another version.
        with suppress(OSError, ValueError, AttributeError, TypeError):
            content = json.loads(self._path.read_text())
            return Status(**{name: datetime.fromisoformat(moment) for name, moment in content.items()})
        return None

    def save(self, status: Status) -> None:
        """Save the status. A failure is ignored: then an occurrence that was missed may stay unnoticed."""
        if self.is_on:
            with suppress(OSError):
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._path.write_text(json.dumps(asdict(status), default=datetime.isoformat))


class Timer:
    """A timer function and its schedule; ValueError if the schedule is wrong or uses a setting that is not set."""

    def __init__(
        self, function: Function, settings: Mapping[str, str], runner: Runner, *, clock: Clock | None = None
    ) -> None:
        self._function = function
        self._runner = runner
        self._clock = clock or SystemClock()
        self._schedule = parse(function.trigger.get("schedule", ""), settings)
        wants_monitor = function.trigger.get("useMonitor", True)
        self._file = StatusFile(function.name, is_on=wants_monitor and is_monitored(self._schedule, self._clock.now()))
        self._status: Status | None = None

    async def listen(self, stop: asyncio.Event) -> None:
        """Run the function whenever it is due, until `stop` is set. Return after a run that is under way has ended."""
        jumps = JumpDetector(self._clock)
        status = self._status = await self._start()
        log.info("%s: next run at %s", self._function.name, status.due.isoformat(" ", "seconds"))
        looked = self._clock.now()
        while not stop.is_set():
            if jumped := jumps.jump():
                status = after_jump(self._schedule, status, looked=looked, jumped=jumped)
            looked = self._clock.now()
            if (seconds := self._seconds_until(status.due)) > 0:
                await self._clock.wait(stop, min(seconds, LONGEST_WAIT_SECONDS))
            else:
                await self.run(status)
                status = after_run(self._schedule, status, began=looked)
            if status != self._status:
                self._status = status
                self._file.save(status)

    def is_due(self) -> bool:
        """Whether a due run has not ended yet. True before the first due time is known, because a run may be due."""
        return self._status is None or self._seconds_until(self._status.due) <= 0

    async def run(self, status: Status | None = None, *, is_past_due: bool = False) -> None:
        """Run the function once. A run by hand has no `status`; the function then gets the saved status."""
        status = status or self._file.load()
        schedule_status = {}
        if status and self._file.is_on:
            schedule_status = {
                "Last": status.last.isoformat(),
                "Next": status.due.isoformat(),
                "LastUpdated": status.updated.isoformat(),
            }
        request = TimerRequest(
            past_due=is_past_due,
            schedule_status=schedule_status,
            schedule={"AdjustForDST": self._schedule.period is None},
        )
        await self._runner.run(self._function, request, _ok)

    async def _start(self) -> Status:
        """Run the function if it must run at the start or has missed an occurrence; return the status after that."""
        now = self._clock.now()
        stored = self._file.load()
        status, is_past_due = resume(self._schedule, stored, now)
        if is_past_due or self._function.trigger.get("runOnStartup"):
            shown = status if stored else replace(status, updated=UNSET)
            await self.run(shown, is_past_due=is_past_due)
            status = Status(last=now, due=self._schedule.next(now), updated=now)
        self._file.save(status)
        return status

    def _seconds_until(self, due: datetime) -> float:
        return (due - self._clock.now()).total_seconds()


def _ok(result: object) -> str:
    if result is not None:
        raise RuntimeError("a timer function must return None")
    return "ok"
