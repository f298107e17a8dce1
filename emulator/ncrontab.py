"""A schedule says when it is due next, strictly after a moment, in UTC.

NCRONTAB is read as by github.com/atifaziz/NCrontab, and as by no Python library: a reversed range is swapped, 7 is no
Sunday, a name matches by its beginning, `5/10` runs to the field's end, and both day fields must match.
"""

import calendar
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta

NEVER = datetime.max.replace(tzinfo=UTC)
DAYS_AHEAD = 100 * 366  # what has no day in a century (30 February) is never due
WEEKDAYS = [calendar.day_name[day] for day in (6, 0, 1, 2, 3, 4, 5)]
CLOCK: Sequence[tuple[int, int, Sequence[str]]] = ((0, 59, ()), (0, 59, ()), (0, 23, ()))
FIELDS = (*CLOCK, (1, 31, ()), (1, 12, calendar.month_name[1:]), (0, 6, WEEKDAYS))


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """The values that each of the six NCRONTAB fields admits, ascending, or a period."""

    fields: Sequence[Sequence[int]] = ()
    period: timedelta | None = None

    def next(self, after: datetime) -> datetime:
        """Return the first due moment later than `after`, or NEVER."""
        if self.period is not None:
            return after + self.period
        seconds, minutes, hours, days, months, weekdays = self.fields
        start = after.replace(microsecond=0) + timedelta(seconds=1)
        for offset in range(DAYS_AHEAD):
            day = start + timedelta(days=offset)
            if day.month in months and day.day in days and day.isoweekday() % 7 in weekdays:
                least = (start.hour, start.minute, start.second) if not offset else (0, 0, 0)
                for hour, minute in ((h, m) for h in hours for m in minutes if (h, m, 59) >= least):
                    for second in (s for s in seconds if (hour, minute, s) >= least):
                        return datetime.combine(day, time(hour, minute, second, tzinfo=UTC))
        return NEVER


def parse(text: str, settings: Mapping[str, str]) -> Schedule:
    """Read five or six NCRONTAB fields or a time span, in which %NAME% stands for a setting (lower case here)."""
    for name in re.findall("%([^%]+)%", text):
        if not settings.get(name.lower()):
            raise ValueError(f"the app setting {name} is not set")
        text = text.replace(f"%{name}%", settings[name.lower()])
    parts = [part for part in text.split(" ") if part]
    if len(parts) in (5, 6):
        parts = ["0"] * (6 - len(parts)) + parts
        return Schedule(fields=[_field(part, *field) for part, field in zip(parts, FIELDS, strict=True)])
    match = re.fullmatch(r"(?:(\d+)\.)?(\d+):(\d+)(?::(\d+)(\.\d{1,7})?)?|(\d+)", text.strip())
    if match is None:
        raise ValueError(f"{text!r} is neither five or six NCRONTAB fields nor a time span")
    days, hours, minutes, seconds = (int(group or 0) for group in match.group(1, 2, 3, 4))
    if hours >= 24 and match[1] is None and match[4]:
        days, hours, minutes, seconds = hours, minutes, seconds, 0  # 25:00:00 is 25 days, says the documentation
    if hours >= 24 or minutes >= 60 or seconds >= 60:
        raise ValueError(f"{text!r} is not a time span")
    clock = timedelta(hours=hours, minutes=minutes, seconds=seconds + float(match[5] or 0))
    return Schedule(period=timedelta(days=int(match[6] or days)) + clock)


def _field(text: str, low: int, high: int, names: Sequence[str]) -> list[int]:
    values: set[int] = set()
    for item in text.split(","):
        span, slash, step_text = item.partition("/")
        first, dash, last = span.partition("-") if span != "*" else (str(low), "-", str(high))
        ends = sorted(_value(end, low, names) for end in ((first, last) if dash else (first, first)))
        if ends[0] < low or ends[1] > high or not re.fullmatch("[+-]?[0-9]+" if slash else "", step_text):
            raise ValueError(f"{text!r} is not a field of an NCRONTAB expression, or not from {low} to {high}")
        step = int(step_text or 1)
        values.update(range(ends[0], (ends[1] if dash or step == 1 else high) + 1, max(step, 1)))
    return sorted(values)


def _value(text: str, low: int, names: Sequence[str]) -> int:
    if re.fullmatch("[0-9]{1,9}", text):
        return int(text)
    return next((low + i for i, name in enumerate(names) if text and name.lower().startswith(text.lower())), -1)
