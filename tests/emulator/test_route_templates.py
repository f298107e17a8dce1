"""Route templates beyond the recorded routes, by the rules of ASP.NET Core's routing."""

import re
from collections.abc import Sequence

import pytest

from emulator.routes import Route, find, route_for
from emulator.templates import parse
from tests.emulator.functions import http_function


def route(template: str, methods: Sequence[str] | None = None, name: str = "function") -> Route:
    """Return a route with the template, without the checks for reserved or repeated routes."""
    served = None if methods is None else frozenset(methods)
    return Route(segments=parse(template), methods=served, function=http_function(name, template, methods))


def values(template: str, path: str) -> dict[str, str] | None:
    """Return the route values of a path with a template; None if it does not match."""
    match = find([route(template)], "GET", path)
    return match and match[1]


def serving(routes: Sequence[Route], method: str, path: str) -> str | None:
    """Return the name of the function that serves a request."""
    match = find(routes, method, path)
    return match and match[0].name


@pytest.mark.parametrize(
    ("template", "path", "expected"),
    [
        ("api/x", "/API/X", {}),
        ("api/x", "/api/x/", {}),
        ("api/x", "/api/x//", None),
        ("api/x", "/api", None),
        ("api/x", "/api/x/y", None),
        ("/x", "/x", {}),
        ("~/x", "/x", {}),
        ("api/~/x", "/api/~/x", {}),
        ("x/~{a}", "/x/~me", {"a": "me"}),
        ("x/", "/x", {}),
        ("", "/", {}),
        ("", "/x", None),
        ("{a}/{b}", "/1/2", {"a": "1", "b": "2"}),
        ("{a}/{b}", "/1//", None),
        ("x/{a?}", "/x", {}),
        ("x/{a?}/y", "/x/y", None),
        ("x/{a?}/y", "/x/1/y", {"a": "1"}),
        ("{a=1}/{b=2}", "/", {"a": "1", "b": "2"}),
        ("{a=1}/{b=2}", "/x", {"a": "x", "b": "2"}),
        ("x/{a=}", "/x", {"a": ""}),
        ("x/{*rest}", "/x", {}),
        ("x/{*rest}", "/x/a/b/", {"rest": "a/b/"}),
        ("x/{*rest}", "/x/a//b", {"rest": "a//b"}),
        ("x/{*rest}", "/x//a", None),
        ("x/{**rest}", "/x/a/b", {"rest": "a/b"}),
        ("x/{*rest=none}", "/x", {"rest": "none"}),
        ("x/{*rest:int}", "/x/5", {"rest": "5"}),
        ("x/{*rest:int}", "/x", None),
        ("x/{*rest:nonfile}", "/x", {}),
        ("{name}.{ext?}", "/a.b.c", {"name": "a.b", "ext": "c"}),
        ("{name}.{ext?}", "/a", {"name": "a"}),
        ("{name}.{ext?}", "/a.", None),
        ("{name}.{ext?}", "/.b", {"name": ".b"}),
        ("v{major}-{minor}", "/V1-2-3", {"major": "1-2", "minor": "3"}),
        ("v{major}-{minor}", "/v-2", None),
        ("v{major}-{minor}", "/v1-", None),
        ("v{major}-{minor}", "/x1-2", None),
        ("{a}.{b}.{c}", "/1.2.3.4", {"a": "1.2", "b": "3", "c": "4"}),
        ("{a}.{b}.", "/1.2.", {"a": "1", "b": "2"}),
        ("{a}.{b}.", "/1.2", None),
        (".{a}.", "/.1.", {"a": "1"}),
        ("{a:int}.{b:alpha}", "/1.x", {"a": "1", "b": "x"}),
        ("{a:int}.{b:alpha}", "/x.1", None),
        ("{{a}}/{b}", "/{a}/c", {"b": "c"}),
        (r"{a:regex(^\d{{2}}$)}", "/12", {"a": "12"}),
        (r"{a:regex(^\d{{2}}$)}", "/1", None),
        ("{a:regex(^(x|y)$)=x}", "/", {"a": "x"}),
        ("{a:regex(^x:[=y]$)}", "/x:=", {"a": "x:="}),
        ("{id:int:min(1)}", "/1", {"id": "1"}),
        ("{id:int:min(1)}", "/0", None),
        ("{id:int=x}", "/", None),
        ("{id:int?}", "/", {}),
        ("{id:int?}", "/x", None),
        ("{a::int}", "/5", {"a": "5"}),
        ("{a:int()}", "/5", {"a": "5"}),
    ],
)
def test_a_template_matches_a_path(template: str, path: str, expected: dict[str, str] | None) -> None:
    """The expected route values are None if the path does not match."""
    assert values(template, path) == expected


@pytest.mark.parametrize(
    ("constraint", "allowed", "rejected"),
    [
        ("int", ["0", "-1", "+1", "2147483647", " 7 "], ["2147483648", "-2147483649", "1.0", "x", "1,000", "0x1"]),
        ("long", ["9223372036854775807"], ["9223372036854775808", "9" * 5000]),
        ("bool", ["true", "False", " TRUE "], ["1", "yes"]),
        ("decimal", ["1", "1.5", "-1.5", "1.5-", "1,000.25", ".5", "5."], ["1e5", "-1-", ".", "x", "NaN"]),
        ("double", ["1e5", "-1.5E-3", "NaN", "-Infinity", "1,0"], ["e5", "1.5-", "x"]),
        ("float", ["1e50"], ["one"]),
        (
            "guid",
            ["0" * 32, "{12345678-1234-abcd-ABCD-123456789012}"],
            ["0" * 31, "(12345678-1234-1234-1234-123456789012}"],
        ),
        ("alpha", ["abc", "ABC"], ["a1", "é", "a-b"]),
        ("datetime", ["2026-01-02", "2026-01-02T03:04:05Z", "1-2-2026", "10:30", "2 Jan 2026"], ["2026-02-30", "2026"]),
        ("minlength(2)", ["ab", "abc"], ["a"]),
        ("maxlength(2)", ["ab", "é"], ["abc", "a😀"]),
        ("length(2)", ["ab", "😀"], ["a", "abc"]),
        ("length(2, 3)", ["ab", "abc"], ["a", "abcd"]),
        ("min(10)", ["10", "11"], ["9", "x"]),
        ("max(10)", ["10", "-5"], ["11"]),
        ("range(1,9)", ["1", "9"], ["0", "10"]),
        ("regex(^[a-c]+$)", ["abc", "ABC"], ["abd"]),
        ("regex(b)", ["abc"], ["xyz"]),
        ("required", ["x"], []),
        ("file", ["a.b", ".x", "a..b"], ["a", "a.", "a.."]),
        ("nonfile", ["a", "a."], ["a.b"]),
        ("INT", ["5"], ["x"]),
    ],
)
def test_a_constraint_allows_some_values_only(constraint: str, allowed: list[str], rejected: list[str]) -> None:
    """The same values are allowed as in .NET."""
    template = f"{{value:{constraint}}}"
    assert [value for value in allowed if values(template, f"/{value}") is None] == []
    assert [value for value in rejected if values(template, f"/{value}") is not None] == []


@pytest.mark.parametrize(
    "template",
    [
        *("a//b", "{a", "a}", "{}", "{a}/{A}", "{a}{b}", "{a?}x", "{a}-{b?}", "{*a}/b", "x{*a}", "{*a?}", "{a=1?}"),
        *(
            "{a?=1}",
            "a?b",
            "~x",
            "{a:foo}",
            "{a:int(1)}",
            "{a:length(1,2,3)}",
            "{a:range(1,x)}",
            "{a:regex([)}",
            "{a/b}",
        ),
    ],
)
def test_a_wrong_template_is_an_error(template: str) -> None:
    """A function with such a template is in error."""
    reasons = r"is wrong|no route parameter|no route constraint|invalid literal|unterminated character set"
    with pytest.raises((ValueError, re.error), match=reasons):
        parse(template)


def test_the_first_route_wins() -> None:
    """A literal does not take precedence over a parameter."""
    assert serving([route("{a}", name="parameter"), route("x", name="literal")], "GET", "/x") == "parameter"


@pytest.mark.parametrize(("method", "name"), [("get", "get"), ("PUT", "post"), ("BREW", "all")])
def test_a_route_with_another_method_is_passed_over(method: str, name: str) -> None:
    """The case of methods is ignored. None means all methods, an empty list means none."""
    routes = [
        route("x", [], "nothing"),
        route("x", ["GET"], "get"),
        route("x", ["POST", "PUT"], "post"),
        route("{a}", None, "all"),
    ]
    assert serving(routes, method, "/x") == name


def test_a_route_must_also_be_valid_without_the_prefix() -> None:
    """The host also parses it without the prefix, so `~` is an error at its beginning, even behind a prefix."""
    with pytest.raises(ValueError, match="is wrong"):
        route_for(http_function("f", "~x"), [])


@pytest.mark.parametrize("reserved", ["admin", "admin/x", "Administration", "runtime/y", "/admin"])
def test_a_reserved_route_is_an_error(reserved: str) -> None:
    """The host has its own routes with these beginnings."""
    with pytest.raises(ValueError, match=r"built in|wrong"):
        route_for(http_function("f", reserved), [])


@pytest.mark.parametrize(("template", "methods"), [("X/{a}", ["GET", "PUT"]), ("x/{a}", None), ("x/{a}", [])])
def test_two_functions_with_the_same_route_and_method_are_in_conflict(
    template: str, methods: Sequence[str] | None
) -> None:
    """The function that comes later in the order of names is in error."""
    first = route_for(http_function("first", "x/{a}", ["GET"]), [])
    with pytest.raises(ValueError, match="conflicts with the route defined by function 'first'"):
        route_for(http_function("second", template, methods), [first])


@pytest.mark.parametrize(("template", "methods"), [("x/{a}", ["POST"]), ("x/{b}", ["GET"])])
def test_functions_with_different_methods_or_templates_are_in_no_conflict(
    template: str, methods: Sequence[str]
) -> None:
    """Both functions work."""
    first = route_for(http_function("first", "x/{a}", ["GET"]), [])
    second = http_function("second", template, methods)
    assert route_for(second, [first]).function is second
