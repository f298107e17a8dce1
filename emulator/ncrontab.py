"""Computes when a timer is due next after a given moment, in UTC.

NCRONTAB has rules that no Python library follows (github.com/atifaziz/NCrontab): the ends of a reversed range are
swapped, 7 is not Sunday, the beginning of a name is enough, `5/10` goes on to the end of the field, and both day fields
must match.
"""

import calendar
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

NEVER = datetime.max.replace(tzinfo=UTC)
DAYS_AHEAD = 100 * 366  # a schedule without a day in a century, such as 30 February, is never due
TIME_SPAN = re.compile(
    r"(?:(?P<days>\d+)\.)?(?P<hours>\d+):(?P<minutes>\d+)(?::(?P<seconds>\d+)(?P<fraction>\.\d{1,7})?)?"
    r"|(?P<only_days>\d+)"
)


@dataclass(frozen=True, kw_only=True)
class Field:
    """The range of an NCRONTAB field. The first of its `names` means `low`, the next name `low + 1`, and so on."""

    low: int
    high: int
    names: Sequence[str] = ()


SUNDAY_FIRST = [calendar.day_name[day] for day in (6, 0, 1, 2, 3, 4, 5)]
FIELDS = (
    Field(low=0, high=59),  # seconds
    Field(low=0, high=59),  # minutes
    Field(low=0, high=23),  # hours
    Field(low=1, high=31),  # days
    Field(low=1, high=12, names=calendar.month_name[1:]),
    Field(low=0, high=6, names=SUNDAY_FIRST),
)


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """The allowed values of each of the six NCRONTAB fields in ascending order, or a period."""

    fields: Sequence[Sequence[int]] = ()
    period: timedelta | None = None

    def next(self, after: datetime) -> datetime:
        """Return the first due time later than `after`, or NEVER."""
        if self.period is not None:
            try:
                return after + self.period
            except OverflowError:
                return NEVER
        start = after.replace(microsecond=0) + timedelta(seconds=1)
        for offset in range(DAYS_AHEAD):
            day = start.date() + timedelta(days=offset)
            if self._has_day(day):
                earliest = start.time() if offset == 0 else time.min
                for moment in self._times(earliest):
                    return datetime.combine(day, moment, tzinfo=UTC)
        return NEVER

    def _has_day(self, day: date) -> bool:
        _, _, _, days, months, weekdays = self.fields
        return day.month in months and day.day in days and day.isoweekday() % 7 in weekdays

    def _times(self, earliest: time) -> Iterator[time]:
        """Yield the due times of a day from `earliest` on."""
        seconds, minutes, hours, _, _, _ = self.fields
        for hour in hours:
            if hour < earliest.hour:
                continue
            for minute in minutes:
                if hour == earliest.hour and minute < earliest.minute:
                    continue
                for second in seconds:
                    moment = time(hour, minute, second)
                    if moment >= earliest:
                        yield moment


def parse(text: str, settings: Mapping[str, str]) -> Schedule:
    """Read five or six NCRONTAB fields or a time span; ValueError if the text is neither.

    %NAME% is replaced by the setting NAME. The names in `settings` are in lower case.
    """
    for name in re.findall("%([^%]+)%", text):
        value = settings.get(name.lower())
        if not value:
            raise ValueError(f"the app setting {name} is not set")
        text = text.replace(f"%{name}%", value)
    parts = [part for part in text.split(" ") if part]
    if len(parts) == 5:
        parts = ["0", *parts]
    if len(parts) == 6:
        return Schedule(fields=[_values(part, field) for part, field in zip(parts, FIELDS, strict=True)])
    return Schedule(period=_period(text))


def _period(text: str) -> timedelta:
    match = TIME_SPAN.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is neither five or six NCRONTAB fields nor a time span")
    numbers = {name: int(match[name] or 0) for name in ("days", "hours", "minutes", "seconds", "only_days")}
    days, hours, minutes, seconds = (numbers[name] for name in ("days", "hours", "minutes", "seconds"))
    if hours >= 24 and match["days"] is None and match["seconds"]:
        # .NET's documentation: 25:00:00 is 25 days.
        days, hours, minutes, seconds = hours, minutes, seconds, 0
    if hours >= 24 or minutes >= 60 or seconds >= 60:
        raise ValueError(f"{text!r} is not a time span")
    try:
        return timedelta(
            days=days + numbers["only_days"],
            hours=hours,
            minutes=minutes,
            seconds=seconds + float(match["fraction"] or 0),
        )
    except OverflowError:
        raise ValueError(f"{text!r} is not a time span: it is too long") from None


def _values(text: str, field: Field) -> list[int]:
    """Return the values that a field such as `1-5,10/15` allows."""
    values: set[int] = set()
    for item in text.split(","):
        values.update(_range(item, field, whole=text))
    return sorted(values)


def _range(item: str, field: Field, *, whole: str) -> range:
    span, slash, step_text = item.partition("/")
    if span == "*":
        low, high = field.low, field.high
        is_single = False
    else:
        first, dash, last = span.partition("-")
        is_single = not dash
        ends = (_value(first, field), _value(first if is_single else last, field))
        low, high = min(ends), max(ends)
    is_step = re.fullmatch("[+-]?[0-9]+", step_text) is not None if slash else True
    if low < field.low or high > field.high or not is_step:
        raise ValueError(f"{whole!r} is not a field of an NCRONTAB expression, or not from {field.low} to {field.high}")
    step = int(step_text) if slash else 1
    if is_single and step != 1:
        high = field.high
    return range(low, high + 1, max(step, 1))


def _value(text: str, field: Field) -> int:
    """Return the number that a text or the beginning of a name means; -1, which no field allows, if it means none."""
    if re.fullmatch("[0-9]{1,9}", text):
        return int(text)
    if text:
        for number, name in enumerate(field.names, start=field.low):
            if name.lower().startswith(text.lower()):
                return number
    return -1
