"""Finds the function for a path.

As on the host, the first route that matches is used, in the order of the functions' names. A literal does not take
precedence over a parameter.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from emulator.app import Function
from emulator.constraints import is_no_file
from emulator.templates import Kind, Parameter, Segment, parameters_of, parse

Values = dict[str, str]

RESERVED = ("admin", "runtime")


@dataclass(frozen=True, kw_only=True)
class Route:
    """A parsed template and the function that it leads to."""

    segments: Sequence[Segment]
    #: The methods that the route serves, in upper case. None means all methods, an empty set means none.
    methods: frozenset[str] | None
    function: Function

    def serves(self, method: str) -> bool:
        """Whether the function takes requests with this method."""
        return self.methods is None or method.upper() in self.methods

    def match(self, path: str) -> Values | None:
        """Return the route values, or None if the path does not fit."""
        pieces = path.removesuffix("/").split("/")[1:]
        parameters = parameters_of(self.segments)
        has_catch_all = any(parameter.kind is Kind.CATCH_ALL for parameter in parameters)
        if len(pieces) > len(self.segments) and not has_catch_all:
            return None
        values: Values = {}
        for parameter in parameters:
            if parameter.default is not None:
                values[parameter.name] = parameter.default
        for index, segment in enumerate(self.segments):
            if index < len(pieces):
                matched = _match_piece(segment, pieces[index], rest=path.split("/", index + 1)[-1])
            else:
                matched = _match_missing(segment)
            if matched is None:
                return None
            values |= matched
        if not all(_is_allowed(parameter, values.get(parameter.name)) for parameter in parameters):
            return None
        return values


def find(routes: Iterable[Route], method: str, path: str) -> tuple[Function, Values] | None:
    """Return the function of the first route that serves the method and the path, and the route values."""
    for route in routes:
        if route.serves(method):
            values = route.match(path)
            if values is not None:
                return route.function, values
    return None


def route_for(function: Function, others: Sequence[Route]) -> Route:
    """Return the function's route; ValueError if its template is wrong, reserved or already used."""
    own_template = function.trigger.get("route") or ""
    parse(own_template)  # the host also parses the template without the prefix
    methods = function.trigger.get("methods")
    route = Route(
        segments=parse(function.route),
        methods=None if methods is None else frozenset(method.upper() for method in methods),
        function=function,
    )
    if own_template.strip("/").lower().startswith(RESERVED):
        raise ValueError("The specified route conflicts with one or more built in routes.")
    for other in others:
        if _conflict(route, other):
            raise ValueError(
                f"The route specified conflicts with the route defined by function '{other.function.name}'."
            )
    return route


def _conflict(route: Route, other: Route) -> bool:
    """Whether two routes have the same template and share a method. An empty set conflicts with every set."""
    if route.function.route.strip("/").lower() != other.function.route.strip("/").lower():
        return False
    return not route.methods or not other.methods or not route.methods.isdisjoint(other.methods)


def _match_piece(segment: Segment, piece: str, *, rest: str) -> Values | None:
    """Match a segment with its piece of the path. A catch-all gets `rest`, the path from this piece on."""
    last = segment[-1]
    if isinstance(last, Parameter) and last.kind is Kind.CATCH_ALL:
        return {last.name: rest} if piece else None
    values = _match_from_the_right(segment, piece)
    may_leave_out_last = (
        isinstance(last, Parameter) and last.kind is Kind.OPTIONAL and len(segment) > 1 and not piece.endswith(".")
    )
    if values is None and may_leave_out_last:
        before_the_dot = segment[:-2]
        return _match_from_the_right(before_the_dot, piece)
    return values


def _match_missing(segment: Segment) -> Values | None:
    """Match a segment for which the path has no piece."""
    parameter = segment[0]
    if len(segment) > 1 or not isinstance(parameter, Parameter):
        return None
    may_be_missing = parameter.kind is not Kind.PLAIN or parameter.default is not None
    return {} if may_be_missing else None


def _match_from_the_right(segment: Segment, piece: str) -> Values | None:
    """Match literals from right to left. A parameter gets the text between two literals, at least one character."""
    values: Values = {}
    end = len(piece)  # everything to the right of this index is matched
    pending: Parameter | None = None  # the parameter whose left end is not known yet
    for part in reversed(segment):
        if isinstance(part, Parameter):
            pending = part
            continue
        space = end if pending is None else max(end - 1, 0)  # leaves one character for the parameter
        start = piece.lower().rfind(part, 0, space)
        is_adjacent = start + len(part) == end
        if start < 0 or (pending is None and not is_adjacent):
            return None
        if pending is not None:
            values[pending.name] = piece[start + len(part) : end]
        end, pending = start, None
    if pending is not None:
        values[pending.name] = piece[:end]
    elif end > 0:
        return None
    return values if all(values.values()) else None


def _is_allowed(parameter: Parameter, value: str | None) -> bool:
    """Whether the parameter's constraints allow the value. It is None if neither the path nor the template has one."""
    if value is None:
        # The constraints of an optional parameter are not checked. Otherwise only `nonfile` allows a missing value.
        return parameter.kind is Kind.OPTIONAL or all(allows is is_no_file for allows in parameter.constraints)
    return all(allows(value) for allows in parameter.constraints)
