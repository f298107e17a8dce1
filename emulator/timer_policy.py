"""When a timer runs, as the WebJobs SDK's listener decides it. Pure functions; all times are UTC.

A run that outlasts its interval is followed at once by a single run, as the due time has then passed. A run that fails
changes nothing.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from emulator.ncrontab import Schedule

#: Shown with its offset, as by the host (azure-webjobs-sdk-extensions, pull request 825).
UNSET = datetime.min.replace(tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, kw_only=True)
class Status:
    """Where a timer stands in its schedule."""

    #: The start of the last run, or UNSET.
    last: datetime
    #: The next due time.
    due: datetime
    #: The moment from which `due` was computed.
    updated: datetime


def after_run(schedule: Schedule, status: Status, began: datetime) -> Status:
    """Return the status after a run that began then; a run that began a moment early counts as begun when due."""
    last = max(began, status.due)
    return Status(last=last, due=schedule.next(last), updated=last)


def after_jump(schedule: Schedule, status: Status, *, looked: datetime, jumped: timedelta) -> Status:
    """Return the status after the wall clock was set by `jumped`, some time after it was last looked at.

    There are three cases:

    - A period goes on as if nothing had happened.
    - A due time that has now passed stays, so that the timer runs at once, and a single time.
    - Any other due time is computed again, from that last look on, so that no occurrence since then is lost.
    """
    if schedule.period is not None:
        return replace(status, due=status.due + jumped, updated=status.updated + jumped)
    looked_on_new_clock = looked + jumped
    if status.due <= looked_on_new_clock:
        return status
    return replace(status, due=schedule.next(looked_on_new_clock), updated=looked_on_new_clock)


def resume(schedule: Schedule, stored: Status | None, now: datetime) -> tuple[Status, bool]:
    """Return the status to start from, and whether an occurrence of this schedule was missed while no host ran."""
    if stored is None:
        return Status(last=UNSET, due=schedule.next(now), updated=now), False
    expected = schedule.next(stored.updated)
    if stored.due == expected:
        return stored, now > expected
    # The schedule has been changed: no occurrence of the new schedule was missed.
    counted_from = stored.updated if now <= expected else now
    return resume(schedule, None, counted_from)


def is_monitored(schedule: Schedule, now: datetime) -> bool:
    """Whether missed occurrences are made up for: only those of schedules with at most one occurrence a minute."""
    first = schedule.next(now)
    in_a_minute = now + MINUTE
    if schedule.period is not None:
        return first >= in_a_minute
    return first >= in_a_minute or schedule.next(first) >= in_a_minute
