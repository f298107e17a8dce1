"""Reads NCRONTAB expressions by the rules of the Functions host (github.com/atifaziz/NCrontab).

The host does not run a function whose schedule it cannot read. So the service checks a schedule before it gives it to
the host.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise, product

_DAY_SECONDS = 86_400


@dataclass(frozen=True, kw_only=True)
class _Field:
    """The least and the greatest number of a field, and the names for these numbers, each after a blank."""

    least: int
    most: int
    names: str = ""


_MONTHS = " january february march april may june july august september october november december"
_DAYS = " sunday monday tuesday wednesday thursday friday saturday"
_FIELDS = (
    _Field(least=0, most=59),
    _Field(least=0, most=59),
    _Field(least=0, most=23),
    _Field(least=1, most=31),
    _Field(least=1, most=12, names=_MONTHS),
    _Field(least=0, most=6, names=_DAYS),
)


def is_schedule(text: str) -> bool:
    """Whether the host would accept the text as five or six NCRONTAB fields."""
    return _parse(text) is not None


def longest_gap_seconds(text: str) -> int:
    """Return the longest time between two occurrences of an expression that `is_schedule` accepts.

    It is exact if the expression allows every day. Otherwise there are days without an occurrence, and the answer is
    one day, which is a lower bound.
    """
    fields = _parse(text)
    if fields is None:
        raise ValueError("not an NCRONTAB expression")
    seconds, minutes, hours, *days = fields
    if any(len(values) <= field.most - field.least for values, field in zip(days, _FIELDS[3:], strict=True)):
        return _DAY_SECONDS
    moments = [hour * 3600 + minute * 60 + second for hour, minute, second in product(hours, minutes, seconds)]
    moments.append(moments[0] + _DAY_SECONDS)  # the first occurrence of the next day
    return max(later - earlier for earlier, later in pairwise(moments))


def _parse(text: str) -> Sequence[Sequence[int]] | None:
    """Return the numbers that each of the six fields allows in ascending order, or `None` for a wrong expression."""
    parts = [part for part in text.split(" ") if part]
    if len(parts) not in (5, 6):
        return None
    parts = ["0"] * (6 - len(parts)) + parts
    fields = []
    for part, field in zip(parts, _FIELDS, strict=True):
        values = _values(part, field)
        if values is None:
            return None
        fields.append(sorted(values))
    return fields


def _values(text: str, field: _Field) -> set[int] | None:
    values: set[int] = set()
    for item in text.split(","):
        span, slash, step_text = item.partition("/")
        if slash and not re.fullmatch("[+-]?[0-9]{1,9}", step_text):
            return None
        step = int(step_text or 1)
        if span == "*":
            span = f"{field.least}-{field.most}"
        first, dash, last = span.partition("-")
        low, high = _number(first, field), _number(last if dash else first, field)
        if low is None or high is None:
            return None
        # The ends of a reversed range are swapped, `5/10` goes on to the field's end, and a step below 1 counts as 1.
        low, high = min(low, high), max(low, high)
        if not dash and step != 1:
            high = field.most
        values.update(range(low, high + 1, max(step, 1)))
    return values


def _number(text: str, field: _Field) -> int | None:
    """Read a number or a name. Any beginning of a name is enough."""
    if re.fullmatch("[0-9]{1,9}", text):
        return int(text) if field.least <= int(text) <= field.most else None
    place = field.names.find(f" {text.lower()}")
    if not text or place < 0:
        return None
    return field.least + field.names.count(" ", 0, place)
