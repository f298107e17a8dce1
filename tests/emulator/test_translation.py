"""The request that a function gets, and the answer made from its result, beyond the recorded questions."""

import http

import azure.functions as func
import pytest

from emulator.answer import Answer, answer
from emulator.request import Request, for_function, normalize, query_parameters, read_headers


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        ("/a%20b/%C3%A9", "/a b/é"),
        ("/a%2Fb/a%2fb", "/a%2Fb/a%2fb"),
        ("/100%25", "/100%"),
        ("/%FF/%C3%A9%ff", "/%FF/é%ff"),
        ("/%e2%82x%e2%41", "/%e2%82x%e2A"),
        ("/%zz", "/%zz"),
        ("/a/../b", "/b"),
        ("/a/./b", "/a/b"),
        ("/a/%2e%2e/b", "/b"),
        ("/a/..", "/"),
        ("/a/b/..", "/a/"),
        ("/..", "/"),
        ("/a//../b", "/a/b"),
        ("/a/.b/..c", "/a/.b/..c"),
    ],
)
def test_a_path_is_normalized(raw: str, path: str) -> None:
    """It is decoded except for slashes, and has no dot segments. An escape that is not UTF-8 stays unchanged."""
    assert normalize(raw) == path


@pytest.mark.parametrize(
    ("query", "params"),
    [
        ("", {}),
        ("x=1&x=2&x=3", {"x": "1,2,3"}),
        ("x=&x=2", {"x": "2"}),
        ("x=&y", {}),
        ("A=1&a=2&A=3", {"a": "1,2,3"}),
        ("x=a=b", {"x": "a=b"}),
        ("=1", {"": "1"}),
        ("&&x=1&", {"x": "1"}),
        ("x=a+b%2Bc", {"x": "a b+c"}),
        ("x=%fF&y=%zz&z=50%", {"x": "%fF", "y": "%zz", "z": "50%"}),
        ("na%C3%AFve=%E2%82%AC", {"naïve": "€"}),
    ],
)
def test_a_query_becomes_parameters(query: str, params: dict[str, str]) -> None:
    """Values of a repeated key are joined, and empty values are left out."""
    assert query_parameters(query) == params


@pytest.mark.parametrize(
    ("path", "url"),
    [
        ("/a b/é", "http://h/a%20b/%C3%A9"),
        ("/a%2Fb", "http://h/a%2Fb"),
        ("/100%", "http://h/100%25"),
        ("/a:b@c;d=e,f~g'(h)*i!j$k&l+m", "http://h/a:b@c;d=e,f~g'(h)*i!j$k&l+m"),
    ],
)
def test_the_url_that_a_function_sees_is_encoded_again(path: str, url: str) -> None:
    """The query stays as it was sent, except for a `#`."""
    request = Request(method="GET", path=path, query="?x=%C3%A9#", headers={"host": "h"})
    assert for_function(request, {}, b"").url == f"{url}?x=%C3%A9%23"


def test_values_of_a_repeated_header_are_joined() -> None:
    """Empty values are left out, but a header without any other value keeps its name."""
    raw = [(b"a", b"1"), (b"a", b""), (b"a", b"2"), (b"b", b""), (b"c", "é".encode())]
    assert read_headers(raw) == {"a": "1,2", "b": "", "c": "é"}


def test_a_chunked_body_has_no_length() -> None:
    """The host reads only the length, so such a body arrives empty. A length beside the encoding is renamed."""
    chunked = (b"transfer-encoding", b"chunked")
    assert read_headers([chunked]) == {"transfer-encoding": "chunked"}
    assert read_headers([(b"content-length", b"3"), chunked]) == {
        "transfer-encoding": "chunked",
        "x-content-length": "3",
    }


def headers_of(response: func.HttpResponse) -> dict[str, str]:
    """Return the headers that are sent."""
    return dict(answer(response).headers)


@pytest.mark.parametrize(
    ("text", "body"),
    [
        ("text", "text"),
        ("", ""),
        ('{"a":1}', '{\n  "a": 1\n}'),
        ("[]", "[]"),
        ('["é"]', '[\n  "é"\n]'),
        ("5", "5"),
        ("1.50", "1.5"),
        ("true", "True"),
        ("null", ""),
        ('"quoted"', "quoted"),
        ("{", "{"),
        (" ", ""),
        ("1e5", "100000"),
        ("NaN", "NaN"),
        ("5 apples", "5 apples"),
        ("{'a': [1, 'it\\'s', \"b\"],}", '{\n  "a": [\n    1,\n    "it\'s",\n    "b"\n  ]\n}'),
        ("{a: 'say \"b\"'}", '{\n  "a": "say \\"b\\""\n}'),
        ("{'a': True}", "{'a': True}"),
        ('"a\nb: c,]"', "a\nb: c,]"),
        ('"1.0"', "1.0"),
        ("1.0", "1"),
        ("{$a: 1}", '{\n  "$a": 1\n}'),
        ("x" * 300_000, "x" * 300_000),
    ],
)
def test_a_returned_string_becomes_the_body(text: str, body: str) -> None:
    """If Newtonsoft.Json can read it as JSON, the host sends that JSON as Newtonsoft.Json writes it."""
    content_type = (("Content-Type", "text/plain; charset=utf-8"),)
    assert answer(text) == Answer(status=200, headers=content_type, body=body.encode())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"body": "x", "status": 201}', (201, "text/plain; charset=utf-8", b"x")),
        ('{"Body": {"a": [1]}, "STATUSCODE": "202", "status": 5}', (202, "text/plain; charset=utf-8", b'{"a":[1]}')),
        ('{"body": null, "status": "many"}', (200, "text/plain; charset=utf-8", b"")),
        ('{"body": true, "headers": {"content-type": "a/b"}}', (200, "a/b; charset=utf-8", b"True")),
        ('{"body": 1, "headers": {"Content-Type": "a/b; charset=utf-8"}}', (200, "a/b; charset=utf-8", b"1")),
        ('{"status": 201}', (200, "text/plain; charset=utf-8", b'{\n  "status": 201\n}')),
    ],
)
def test_a_returned_string_may_be_a_whole_response(text: str, expected: tuple[int, str, bytes]) -> None:
    """It is then a JSON object with the key `body`, in upper or lower case (HttpBinding.ParseResponseObject)."""
    sent = answer(text)
    assert (sent.status, dict(sent.headers)["Content-Type"], sent.body) == expected


def test_headers_of_a_whole_response_keep_their_case() -> None:
    """A value that is not a text becomes a text."""
    assert dict(answer('{"body": "", "headers": {"X-Mixed": 5}}').headers)["X-Mixed"] == "5"


@pytest.mark.parametrize("result", [None, {"a": 1}, [1], b"bytes", 5, 1.5, object()])
def test_an_http_function_cannot_return_other_values(result: object) -> None:
    """The caller gets 500."""
    with pytest.raises(TypeError, match="must return str or HttpResponse"):
        answer(result)


@pytest.mark.parametrize("status", [204, 205, 304])
def test_an_answer_with_this_status_has_no_body(status: int) -> None:
    """The body that the function returned is not sent."""
    assert answer(func.HttpResponse("x", status_code=status)).body == b""


@pytest.mark.parametrize(
    ("status_code", "status"), [(None, 200), (http.HTTPStatus.CREATED, 201), ("202", 202), ("many", 200), (999, 999)]
)
def test_a_status_code_that_is_not_a_number_becomes_200(status_code: object, status: int) -> None:
    """All other status codes are sent unchanged."""
    assert answer(func.HttpResponse(status_code=status_code)).status == status  # type: ignore[arg-type]


@pytest.mark.parametrize("status", [0, 99, 100, 199, 1000, -1])
def test_a_status_that_is_not_final_cannot_be_sent(status: int) -> None:
    """The caller gets 500."""
    with pytest.raises(ValueError, match="no final status"):
        answer(func.HttpResponse(status_code=status))


@pytest.mark.parametrize("headers", [{"X Y": "1"}, {"": "1"}, {"X": "é"}, {"X": "\x01"}, {"É": "1"}])
def test_a_header_that_http_does_not_allow_cannot_be_sent(headers: dict[str, str]) -> None:
    """The caller gets 500."""
    with pytest.raises(ValueError, match="cannot be sent"):
        answer(func.HttpResponse("x", headers=headers))


def test_the_content_type_header_overrides_the_mime_type() -> None:
    """Its name may be in upper or lower case."""
    response = func.HttpResponse("x", headers={"content-type": "a/b"}, mimetype="c/d")
    assert headers_of(response) == {"Content-Type": "a/b"}


def test_an_empty_content_type_is_left_out() -> None:
    """The host sends no such header."""
    assert headers_of(func.HttpResponse("x", mimetype="")) == {}


def test_the_server_writes_the_length() -> None:
    """A wrong length would break the connection."""
    response = func.HttpResponse("x", headers={"Content-Length": "5", "Transfer-Encoding": "chunked", "X": ""})
    assert headers_of(response) == {"Content-Type": "text/plain; charset=utf-8", "X": ""}


def test_blanks_around_a_headers_value_are_not_sent() -> None:
    """The host sends them, but no client sees them. Here h11 would close the connection."""
    assert headers_of(func.HttpResponse("x", mimetype="a/b", headers={"X": " \ta b "}))["X"] == "a b"


def test_a_repeated_header_is_sent_once() -> None:
    """The library keeps the last header of each spelling, and of those the host keeps the first."""
    response = func.HttpResponse("x", mimetype="a/b")
    for name, value in (("X-A", "1"), ("X-A", "2"), ("x-a", "3")):
        response.headers.add(name, value)
    assert headers_of(response) == {"X-A": "2", "Content-Type": "a/b"}


def test_every_cookie_has_its_own_header() -> None:
    """The host writes the cookie from its attributes."""
    response = func.HttpResponse("x", mimetype="a/b")
    response.headers.add("Set-Cookie", "a=1; Max-Age=5; Path=/; SameSite=Lax; HttpOnly; Secure; Domain=example.com")
    response.headers.add("Set-Cookie", "b=two%20words; Expires=Thu, 12 Jan 2017 13:55:08 GMT")
    assert [value for name, value in answer(response).headers if name == "Set-Cookie"] == [
        "a=1; max-age=5; domain=example.com; path=/; secure; samesite=lax; httponly",
        "b=two%2520words; expires=Thu, 12 Jan 2017 13:55:08 GMT; domain=; path=",
    ]


@pytest.mark.parametrize("attribute", ["Expires=tomorrow", "Expires=Thu, 12-Jan-2017 13:55:08 GMT", "Max-Age=long"])
def test_a_cookie_that_cannot_be_read_cannot_be_sent(attribute: str) -> None:
    """The caller gets 500, because the worker parses every attribute."""
    response = func.HttpResponse("x", headers={"Set-Cookie": f"a=1; {attribute}"})
    with pytest.raises(ValueError, match=r"does not match|could not convert"):
        answer(response)
