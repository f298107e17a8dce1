"""Route templates and their inline constraints, as ASP.NET Core parses and matches them ("Routing in ASP.NET Core").

The first that matches serves, a literal does not win over a parameter. What is wrong is a ValueError.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from emulator.app import Function

Constraint = Callable[[str], bool]
Values = dict[str, str]
Segment = Sequence["Parameter | str"]

# What .NET takes for a value, in its invariant culture.
NUMBER = r"([0-9][0-9,]*\.?[0-9]*|\.[0-9]+)"
GUID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
TIME = r"(^|[T ]+)([01]?\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d{1,7})?)?( ?[AP]M)?( ?(Z|GMT|[+-]\d{2}:?\d{2}))?$"
DATES = "%Y-%m-%d,%Y-%m,%m-%d-%Y,%m-%d-%y,%d %b %Y,%d %B %Y,%d-%b-%Y,%b %d %Y,%B %d %Y,%b %Y,%B %Y,%a %d %b %Y"
LONG_MIN, LONG_MAX = -(2**63), 2**63 - 1
# The parts of a template; a brace that is doubled is a literal one.
TOKEN = re.compile(r"/|\{(?!\{)(?P<inside>(?:[^{}]|\{\{|\}\})*)\}|(?P<literal>(?:[^{}/?]|\{\{|\}\})+)")
# With c(atch-all), o(ptional) and other p(arameters), l(iterals) and dots in their place: how they may stand together.
SHAPE = re.compile("((o|(?=[^/])p?([.l]p)*([.]o|[.l])?|c/?$)(/|$))*")
CONSTRAINT = r":([^:=(]*(?:\(.*?(?:\)(?=[:=]|$)|$))?)"
PARAMETER = re.compile(rf"(\*{{0,2}})([^/{{}}?*][^/{{}}?*:=]*)((?:{CONSTRAINT})*)(=.*)?", re.DOTALL)


def _integer(low: int, high: int) -> Constraint:
    return lambda text: re.fullmatch(r"\s*[+-]?[0-9]{1,400}\s*", text) is not None and low <= int(text) <= high


def _length(low: int, high: float) -> Constraint:
    return lambda text: low <= len(text.encode("utf-16-le", "surrogatepass")) // 2 <= high  # as .NET counts


def _pattern(pattern: str) -> Constraint:
    compiled = re.compile(re.sub(r"\(\?<(?![=!])", "(?P<", pattern), re.IGNORECASE)
    return lambda text: compiled.search(text) is not None


def _datetime(text: str) -> bool:
    day = re.sub("[./]", "-", re.sub(TIME, "", text.strip(), flags=re.IGNORECASE)).replace(",", "")
    for date_format in DATES.split(","):
        try:
            return bool(datetime.strptime(day, date_format))  # noqa: DTZ007 - only whether it is a date
        except ValueError:
            continue
    return not day and bool(text.strip())


def _nonfile(text: str) -> bool:
    return not text.rpartition("/")[2].partition(".")[2].strip(".")


DOUBLE = _pattern(rf"^\s*[+-]?({NUMBER}(e[+-]?[0-9]+)?|infinity|nan)\s*\Z")
SIMPLE: dict[str, Constraint] = {"int": _integer(-(2**31), 2**31 - 1), "long": _integer(LONG_MIN, LONG_MAX)}
SIMPLE |= {"bool": _pattern(r"^[\s\0]*(true|false)[\s\0]*\Z"), "double": DOUBLE, "float": DOUBLE, "datetime": _datetime}
SIMPLE |= {"decimal": _pattern(rf"^\s*([+-]?{NUMBER}|{NUMBER}[+-])\s*\Z"), "alpha": _pattern(r"^[a-z]*$")}
SIMPLE |= {"guid": _pattern(rf"^\s*([0-9a-f]{{32}}|{GUID}|\{{{GUID}\}}|\({GUID}\))\s*\Z"), "required": bool}
SIMPLE |= {"file": lambda text: not _nonfile(text), "nonfile": _nonfile}
OF_NUMBERS: dict[tuple[str, int], Callable[..., Constraint]] = {("range", 2): _integer, ("length", 2): _length}
OF_NUMBERS |= {("min", 1): lambda low: _integer(low, LONG_MAX), ("max", 1): lambda high: _integer(LONG_MIN, high)}
OF_NUMBERS |= {("length", 1): lambda exact: _length(exact, exact), ("maxlength", 1): lambda high: _length(0, high)}
OF_NUMBERS |= {("minlength", 1): lambda low: _length(low, float("inf"))}


def constraint(text: str) -> Constraint:
    """Return the constraint that `text` names, such as `int` or `length(2,4)`."""
    name, _, arguments = text.lower().partition("(")
    if name in SIMPLE and arguments in ("", ")"):
        return SIMPLE[name]
    if name == "regex" and text.endswith(")"):
        return _pattern(text[len("regex(") : -1])
    build = OF_NUMBERS.get((name, arguments.count(",") + 1))
    if build is None or not text.endswith(")"):
        raise ValueError(f"there is no route constraint {text!r}")
    return build(*(int(number) for number in arguments[:-1].split(",")))


@dataclass(frozen=True)
class Parameter:
    """The part of a template between braces: `*rest`, `id:int:min(1)`, `word?`, `word=default`."""

    name: str
    constraints: Sequence[Constraint]
    default: str | None
    kind: str  # as in SHAPE


def _parameter(text: str) -> Parameter:
    match, optional = PARAMETER.fullmatch(text.removesuffix("?")), text.endswith("?")
    if match is None or (optional and (match[1] or match[5])):
        raise ValueError(f"{{{text}}} is no route parameter")
    constraints = [constraint(one) for one in re.findall(CONSTRAINT, match[3], re.DOTALL) if one]
    return Parameter(match[2], constraints, match[5] and match[5][1:], "o" if optional else "c" if match[1] else "p")


def parse(template: str) -> list[Segment]:
    """Split a template into segments of literals (lower case) and parameters."""
    rest = template[2:] if template.startswith("~/") else template.removeprefix("/")
    tokens = list(TOKEN.finditer(rest))
    segments: list[list[Parameter | str]] = [[]]
    for token in tokens:
        text = (token["inside"] or token["literal"] or "").replace("}}", "}").replace("{{", "{")
        if token[0] == "/":
            segments.append([])
        else:
            segments[-1].append(text.lower() if token["literal"] else _parameter(text))
    letters = [[getattr(part, "kind", "." if part == "." else "l") for part in segment] for segment in segments]
    names = [one.name.lower() for segment in segments for one in segment if isinstance(one, Parameter)]
    whole = "".join(token[0] for token in tokens) == rest and not rest.startswith("~")
    if not whole or not SHAPE.fullmatch("/".join(map("".join, letters))) or len(set(names)) < len(names):
        raise ValueError(f"the route template {template!r} is wrong, or has a parameter twice, or where it cannot be")
    return [segment for segment in segments if segment]


class Route:
    """A template, the methods that it serves (upper case; None: all) and the function it leads to."""

    def __init__(self, segments: Sequence[Segment], methods: frozenset[str] | None, function: Function) -> None:
        self.segments, self.methods, self.function = segments, methods, function
        self.parameters = [part for segment in segments for part in segment if isinstance(part, Parameter)]

    def match(self, path: str, pieces: Sequence[str]) -> Values | None:
        """Return the route values if the path, also given cut at its slashes, fits."""
        values = {one.name: one.default for one in self.parameters if one.default is not None}
        if len(pieces) > len(self.segments) and not any(one.kind == "c" for one in self.parameters):
            return None
        for index, segment in enumerate(self.segments):
            last, found = segment[-1], None
            if index < len(pieces) and isinstance(last, Parameter) and last.kind == "c":
                found = {last.name: path.split("/", index + 1)[-1]} if pieces[index] else None
            elif index < len(pieces):
                found = _match_segment(segment, pieces[index])
            elif isinstance(last, Parameter) and len(segment) == 1:
                found = {} if last.kind in "co" or last.default is not None else None
            if found is None:
                return None
            values |= found
        for one in self.parameters:
            judges = [] if one.kind == "o" and one.name not in values else one.constraints
            if not all(judge(values[one.name]) if one.name in values else judge is _nonfile for judge in judges):
                return None
        return values


def _match_segment(parts: Segment, text: str) -> Values | None:
    values = _match_from_the_right(parts, text)
    if values is None and len(parts) > 1 and getattr(parts[-1], "kind", "") == "o" and not text.endswith("."):
        return _match_from_the_right(parts[:-2], text)
    return values


def _match_from_the_right(parts: Segment, text: str) -> Values | None:
    values: Values = {}
    end, pending = len(text), None
    for part in reversed(parts):
        if isinstance(part, Parameter):
            pending = part
            continue
        start = text.lower().rfind(part, 0, max(end - (pending is not None), 0))
        if start < 0 or (pending is None and start + len(part) < end):
            return None
        values |= {pending.name: text[start + len(part) : end]} if pending else {}
        end, pending = start, None
    values |= {pending.name: text[:end]} if pending else {}
    return values if all(values.values()) and (pending or not end) else None


def find(routes: Iterable[Route], method: str, path: str) -> tuple[Function, Values] | None:
    """Return the function of the first route that serves the method and the path, and the route values."""
    pieces = path.removesuffix("/").split("/")[1:]
    serving = (route for route in routes if route.methods is None or method.upper() in route.methods)
    return next(((one.function, found) for one in serving if (found := one.match(path, pieces)) is not None), None)


def route_for(function: Function, taken: Sequence[Route]) -> Route:
    """Return the function's route; it must be neither reserved nor taken."""
    methods = function.trigger.get("methods")  # an empty list serves nothing, but is in conflict with all
    parse(function.trigger.get("route") or "")  # the host reads it without the prefix, too
    route = Route(parse(function.route), None if methods is None else frozenset(map(str.upper, methods)), function)
    if str(function.trigger.get("route")).strip("/").lower().startswith(("admin", "runtime")):
        raise ValueError("The specified route conflicts with one or more built in routes.")
    for other in taken:
        name, theirs = other.function.name, other.function.route
        same = theirs.strip("/").lower() == function.route.strip("/").lower()
        if same and (not route.methods or not other.methods or route.methods & other.methods):
            raise ValueError(f"The route specified conflicts with the route defined by function '{name}'.")
    return route
