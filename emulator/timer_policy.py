"""Decides when a timer runs, as the WebJobs SDK's listener does. All functions are pure, and all times are UTC.

If a run takes longer than its interval, the next due time has passed, so a single run follows at once. A failed run
counts like any other.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from emulator.ncrontab import Schedule

#: Has an offset, because the host shows it with its offset (azure-webjobs-sdk-extensions, pull request 825).
UNSET = datetime.min.replace(tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, kw_only=True)
class Status:
    """The state of a timer's schedule."""

    #: The start of the last run, or UNSET.
    last: datetime
    #: The next due time.
    due: datetime
    #: The moment from which `due` was computed.
    updated: datetime


def after_run(schedule: Schedule, status: Status, began: datetime) -> Status:
    """Return the status after a run. If the run began slightly early, it counts as begun at its due time."""
    last = max(began, status.due)
    return Status(last=last, due=schedule.next(last), updated=last)


def after_jump(schedule: Schedule, status: Status, *, looked: datetime, jumped: timedelta) -> Status:
    """Return the status after the wall clock was set by `jumped`. The clock was last read at `looked`, before that.

    There are three cases:

    - A period goes on unchanged.
    - A due time that has now passed stays, so that the timer runs once, at once.
    - Any other due time is computed again from `looked` on, so that no occurrence since then is lost.
    """
    if schedule.period is not None:
        return replace(status, due=status.due + jumped, updated=status.updated + jumped)
    looked_on_new_clock = looked + jumped
    if status.due <= looked_on_new_clock:
        return status
    return replace(status, due=schedule.next(looked_on_new_clock), updated=looked_on_new_clock)


def resume(schedule: Schedule, stored: Status | None, now: datetime) -> tuple[Status, bool]:
    """Return the status to start with, and whether an occurrence of this schedule was missed while no host ran."""
    if stored is None:
        return Status(last=UNSET, due=schedule.next(now), updated=now), False
    expected = schedule.next(stored.updated)
    if stored.due == expected:
        return stored, now > expected
    # The schedule has been changed: no occurrence of the new schedule was missed.
    counted_from = stored.updated if now <= expected else now
    return resume(schedule, None, counted_from)


def is_monitored(schedule: Schedule, now: datetime) -> bool:
    """Whether the timer makes up for missed occurrences, which it does if it is due at most once a minute."""
    first = schedule.next(now)
    in_a_minute = now + MINUTE
    if schedule.period is not None:
        return first >= in_a_minute
    return first >= in_a_minute or schedule.next(first) >= in_a_minute
