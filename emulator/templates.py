"""Parses route templates such as `items/{id:int}` as ASP.NET Core does ("Routing in ASP.NET Core").

A template is a list of segments. A segment is a list of literals (texts in lower case) and parameters. A template that
ASP.NET Core cannot parse raises ValueError.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from emulator.constraints import Constraint, constraint

# A token is a slash, a parameter in braces, or a literal. A doubled brace is a literal brace, also inside a parameter.
TOKEN = re.compile(r"/|\{(?!\{)(?P<inside>(?:[^{}]|\{\{|\}\})*)\}|(?P<literal>(?:[^{}/?]|\{\{|\}\})+)")
CONSTRAINT = r":([^:=(]*(?:\(.*?(?:\)(?=[:=]|$)|$))?)"
PARAMETER = re.compile(
    rf"(?P<stars>\*{{0,2}})(?P<name>[^/{{}}?*][^/{{}}?*:=]*)(?P<constraints>(?:{CONSTRAINT})*)(?P<default>=.*)?",
    re.DOTALL,
)
# The allowed sequences of parts in a segment. Each letter is a part: `p` a plain parameter, `o` an optional parameter,
# `c` a catch-all, `.` the literal dot, `l` any other literal.
SEGMENT = r"o|(?=[^/])p?([.l]p)*([.]o|[.l])?"
LAST_SEGMENT = r"c/?$"
SHAPE = re.compile(rf"(({SEGMENT}|{LAST_SEGMENT})(/|$))*")


class Kind(Enum):
    """The kind of a parameter. Its value is the letter in SHAPE."""

    PLAIN = "p"
    #: `{word?}` may be missing.
    OPTIONAL = "o"
    #: `{*rest}` takes the rest of the path, slashes included.
    CATCH_ALL = "c"


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """The part of a template between braces: `*rest`, `id:int:min(1)`, `word?`, `word=default`."""

    name: str
    constraints: Sequence[Constraint]
    default: str | None
    kind: Kind


Part = Parameter | str
Segment = Sequence[Part]


def parse(template: str) -> list[Segment]:
    """Split a template into its segments; ValueError if it is wrong."""
    rest = template[2:] if template.startswith("~/") else template.removeprefix("/")
    tokens = list(TOKEN.finditer(rest))
    is_covered = "".join(token[0] for token in tokens) == rest
    segments = list(_segments(tokens))
    shape = "/".join("".join(_letter(part) for part in segment) for segment in segments)
    names = [parameter.name.lower() for parameter in parameters_of(segments)]
    has_duplicates = len(set(names)) < len(names)
    if rest.startswith("~") or not is_covered or not SHAPE.fullmatch(shape) or has_duplicates:
        raise ValueError(f"the route template {template!r} is wrong, or a parameter is repeated or in a wrong place")
    return [segment for segment in segments if segment]


def parameters_of(segments: Sequence[Segment]) -> list[Parameter]:
    """Return the parameters of a template from left to right."""
    return [part for segment in segments for part in segment if isinstance(part, Parameter)]


def _segments(tokens: Sequence[re.Match[str]]) -> Iterator[list[Part]]:
    segment: list[Part] = []
    for token in tokens:
        if token[0] == "/":
            yield segment
            segment = []
        elif token["literal"]:
            segment.append(_single_braces(token["literal"]).lower())
        else:
            segment.append(_parameter(_single_braces(token["inside"])))
    yield segment


def _single_braces(text: str) -> str:
    return text.replace("}}", "}").replace("{{", "{")


def _parameter(text: str) -> Parameter:
    is_optional = text.endswith("?")
    match = PARAMETER.fullmatch(text.removesuffix("?"))
    if match is None or (is_optional and (match["stars"] or match["default"])):
        raise ValueError(f"{{{text}}} is no route parameter")
    kind = Kind.PLAIN
    if is_optional:
        kind = Kind.OPTIONAL
    elif match["stars"]:
        kind = Kind.CATCH_ALL
    constraints = [constraint(word) for word in re.findall(CONSTRAINT, match["constraints"], re.DOTALL) if word]
    default = match["default"]
    return Parameter(
        name=match["name"],
        constraints=constraints,
        default=None if default is None else default.removeprefix("="),
        kind=kind,
    )


def _letter(part: Part) -> str:
    if isinstance(part, Parameter):
        return part.kind.value
    return "." if part == "." else "l"
