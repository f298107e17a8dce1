"""Timers: when each runs is policy, pure, as the WebJobs SDK's listener decides it; running it is a loop. All is UTC.

A run that outlasts its interval is followed at once by one run: `due` is then past. A failing run changes nothing.
"""

import asyncio
import hashlib
import json
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from azure.functions.timer import TimerRequest

from emulator.app import Function
from emulator.invoke import Runner, log
from emulator.ncrontab import Schedule, parse

UNSET = datetime.min.replace(tzinfo=UTC)  # shown with its offset (azure-webjobs-sdk-extensions, pull request 825)
LONGEST_SLEEP_SECONDS = 30.0  # then the clock is read again: it may have been set, or the machine suspended


@dataclass(frozen=True, kw_only=True)
class Status:
    """The start of the last run (or UNSET), the next due moment, and what that was counted from."""

    last: datetime
    due: datetime
    updated: datetime


def after_run(schedule: Schedule, status: Status, began: datetime) -> Status:
    """Return the status after a run that began then; one that began a moment early counts as due."""
    last = max(began, status.due)
    return Status(last=last, due=schedule.next(last), updated=last)


def resume(schedule: Schedule, stored: Status | None, now: datetime) -> tuple[Status, bool]:
    """Return the status to start from, and whether an occurrence of this schedule was missed while no host ran."""
    if stored is None:
        return Status(last=UNSET, due=schedule.next(now), updated=now), False
    expected = schedule.next(stored.updated)
    if stored.due == expected:
        return stored, now > expected
    return resume(schedule, None, stored.updated if now <= expected else now)  # the schedule has been changed


def is_monitored(schedule: Schedule, now: datetime) -> bool:
    """Whether missed occurrences can be made up for: not where more than one falls into a minute."""
    following, a_minute_on = schedule.next(now), now + timedelta(minutes=1)
    return following >= a_minute_on or (schedule.period is None and schedule.next(following) >= a_minute_on)


class Timer:
    """A timer function and its schedule; ValueError if that is wrong or names a setting that is not set."""

    def __init__(self, function: Function, settings: Mapping[str, str], runner: Runner) -> None:
        self._function, self._runner = function, runner
        self._schedule = parse(function.trigger.get("schedule", ""), settings)
        self._monitored = function.trigger.get("useMonitor", True) and is_monitored(self._schedule, datetime.now(UTC))
        key = hashlib.sha256(str(Path.cwd()).encode()).hexdigest()[:16]
        self._file = Path(tempfile.gettempdir(), "functions-emulator", key, f"{function.name}.json")

    async def listen(self, stop: asyncio.Event) -> None:
        """Run the function whenever it is due until `stop` is set; a run in flight is finished."""
        now = datetime.now(UTC)
        status, past_due = resume(self._schedule, stored := self._load(), now)
        if past_due or self._function.trigger.get("runOnStartup"):
            await self.run(status if stored else replace(status, updated=UNSET), past_due=past_due)
            status = Status(last=now, due=self._schedule.next(now), updated=now)
        self._save(status)
        log.info("%s: next run at %s", self._function.name, status.due.isoformat(" ", "seconds"))
        while not stop.is_set():
            now = datetime.now(UTC)
            if now < status.due:
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), min((status.due - now).total_seconds(), LONGEST_SLEEP_SECONDS))
            else:
                await self.run(status)
                status = after_run(self._schedule, status, now)
                self._save(status)

    async def run(self, status: Status | None = None, *, past_due: bool = False) -> None:
        """Run the function once; by hand, it is told what was stored."""
        status = status or self._load()
        moments = {"Last": status.last, "Next": status.due, "LastUpdated": status.updated} if status else {}
        told = {key: moment.isoformat() for key, moment in moments.items() if self._monitored}
        schedule = {"AdjustForDST": self._schedule.period is None}
        asked = TimerRequest(past_due=past_due, schedule_status=told, schedule=schedule)
        await self._runner.run(self._function, asked, lambda _: "ok")

    def _load(self) -> Status | None:
        with suppress(OSError, ValueError, AttributeError, TypeError):  # never stored, not by this version, or cut off
            content = json.loads(self._file.read_text()) if self._monitored else {}
            return Status(**{key: datetime.fromisoformat(moment) for key, moment in content.items()})
        return None

    def _save(self, status: Status) -> None:
        if self._monitored:
            with suppress(OSError):  # costs no more than the memory of what was missed
                self._file.parent.mkdir(parents=True, exist_ok=True)
                self._file.write_text(json.dumps(asdict(status), default=datetime.isoformat))
