"""The inline constraints of route parameters, as ASP.NET Core checks them in .NET's invariant culture."""

import re
from collections.abc import Callable
from datetime import datetime

Constraint = Callable[[str], bool]

INT_MIN, INT_MAX = -(2**31), 2**31 - 1
LONG_MIN, LONG_MAX = -(2**63), 2**63 - 1
NUMBER = r"([0-9][0-9,]*\.?[0-9]*|\.[0-9]+)"
GUID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
TIME = r"(^|[T ]+)([01]?\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d{1,7})?)?( ?[AP]M)?( ?(Z|GMT|[+-]\d{2}:?\d{2}))?$"
DATE_FORMATS = (
    *("%Y-%m-%d", "%Y-%m", "%m-%d-%Y", "%m-%d-%y"),
    *("%d %b %Y", "%d %B %Y", "%d-%b-%Y", "%b %d %Y", "%B %d %Y", "%b %Y", "%B %Y", "%a %d %b %Y"),
)


def constraint(text: str) -> Constraint:
    """Return the constraint that `text` names, such as `int` or `length(2,4)`; ValueError if there is none."""
    name, _, arguments = text.lower().partition("(")
    if name in WITHOUT_ARGUMENTS and arguments in ("", ")"):
        return WITHOUT_ARGUMENTS[name]
    if name == "regex" and text.endswith(")"):
        return _pattern(text[len("regex(") : -1])
    build = WITH_NUMBERS.get((name, arguments.count(",") + 1))
    if build is None or not text.endswith(")"):
        raise ValueError(f"there is no route constraint {text!r}")
    return build(*(int(number) for number in arguments[:-1].split(",")))


def is_no_file(text: str) -> bool:
    """Whether the last segment has no file extension."""
    last_segment = text.rpartition("/")[2]
    extension = last_segment.partition(".")[2]
    return not extension.strip(".")


def _is_file(text: str) -> bool:
    return not is_no_file(text)


def _integer(low: int, high: int) -> Constraint:
    def allows(text: str) -> bool:
        return re.fullmatch(r"\s*[+-]?[0-9]{1,400}\s*", text) is not None and low <= int(text) <= high

    return allows


def _length(low: int, high: float) -> Constraint:
    def allows(text: str) -> bool:
        utf16_units = len(text.encode("utf-16-le", "surrogatepass")) // 2  # .NET counts these
        return low <= utf16_units <= high

    return allows


def _pattern(pattern: str) -> Constraint:
    named_as_in_python = re.sub(r"\(\?<(?![=!])", "(?P<", pattern)
    compiled = re.compile(named_as_in_python, re.IGNORECASE)
    return lambda text: compiled.search(text) is not None


def _is_datetime(text: str) -> bool:
    date = re.sub(TIME, "", text.strip(), flags=re.IGNORECASE)
    if not date:
        return bool(text.strip())  # a time without a date means today
    date = re.sub("[./]", "-", date).replace(",", "")
    return any(_is_date(date, date_format) for date_format in DATE_FORMATS)


def _is_date(text: str, date_format: str) -> bool:
    try:
        datetime.strptime(text, date_format)  # noqa: DTZ007 - the value is not used
    except ValueError:
        return False
    return True


IS_DOUBLE = _pattern(rf"^\s*[+-]?({NUMBER}(e[+-]?[0-9]+)?|infinity|nan)\s*\Z")
WITHOUT_ARGUMENTS: dict[str, Constraint] = {
    "int": _integer(INT_MIN, INT_MAX),
    "long": _integer(LONG_MIN, LONG_MAX),
    "bool": _pattern(r"^[\s\0]*(true|false)[\s\0]*\Z"),
    "double": IS_DOUBLE,
    "float": IS_DOUBLE,
    "decimal": _pattern(rf"^\s*([+-]?{NUMBER}|{NUMBER}[+-])\s*\Z"),
    "datetime": _is_datetime,
    "guid": _pattern(rf"^\s*([0-9a-f]{{32}}|{GUID}|\{{{GUID}\}}|\({GUID}\))\s*\Z"),
    "alpha": _pattern(r"^[a-z]*$"),
    "required": bool,
    "file": _is_file,
    "nonfile": is_no_file,
}
# The keys are a name and a number of arguments.
WITH_NUMBERS: dict[tuple[str, int], Callable[..., Constraint]] = {
    ("range", 2): _integer,
    ("min", 1): lambda low: _integer(low, LONG_MAX),
    ("max", 1): lambda high: _integer(LONG_MIN, high),
    ("length", 1): lambda exact: _length(exact, exact),
    ("length", 2): _length,
    ("minlength", 1): lambda low: _length(low, float("inf")),
    ("maxlength", 1): lambda high: _length(0, high),
}
