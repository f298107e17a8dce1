import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest_core.source.request import check_url_template, parse_headers


@pytest.mark.parametrize(
    "template",
    [
        "https://api.example.com/items/{id}",
        "http://localhost:8080/{id}",
        "HTTPS://API.example.com/{id}",
        "http://[::1]:8080/items/{id}.json",
        "http://127.0.0.1/items?id={id}&key=a%2Fb",
        "https://api.example.com/{id}/parts/{id}",
        "https://api_1.example.com./{id}",
        "https://3scale.example.com/{id}",
    ],
)
def test_an_address_that_can_be_asked_is_fine(template: str) -> None:
    """Over http or https, a host, the ID in path or query."""
    assert check_url_template(template) is None


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        ("", "http://"),
        ("ftp://example.com/{id}", "http://"),
        ("file:///etc/{id}", "http://"),
        ("//example.com/{id}", "http://"),
        (" https://example.com/{id}", "http://"),
        ("https://example.com/items", "{id}"),
        ("https://example.com/{ID}", "{id}"),
        ("https://example.com/{id}/{key}", "braces"),
        ("https://example.com/{{id}}", "braces"),
        ("https://{id}.example.com/", "in its host"),
        ("https://example.com:{id}/", "port"),
        ("https://example.com/#{id}", "fragment"),
        ("https://user:secret@example.com/{id}", "header"),
        ("https:///{id}", "host"),
        ("https://:80/{id}", "host"),
        ("https://-/{id}\n", "characters"),
        ("https://example.com/{id} x", "characters"),
        ("https://exämple.com/{id}", "characters"),
        ("https://example.com/%zz/{id}", "characters"),
        ("https://example.com:/{id}", "port"),
        ("https://example.com:0/{id}", "port"),
        ("https://example.com:65536/{id}", "port"),
        ("https://example.com:x/{id}", "port"),
        ("https://[::1/{id}", "host"),
        ("https://exam%41ple.com/{id}", "host"),
        ("https://a..b/{id}", "host"),
        ("http://127.1/{id}", "host"),
        ("http://2130706433/{id}", "host"),
        ("http://0x7f000001/{id}", "host"),
        ("http://256.0.0.1/{id}", "host"),
        (f"https://{'a' * 64}.com/{{id}}", "host"),
    ],
)
def test_an_address_that_cannot_be_asked_is_reported_in_one_line(template: str, problem: str) -> None:
    """The line says what to fix."""
    found = check_url_template(template)
    assert found is not None
    assert problem in found
    assert found.isprintable()


@given(st.text(st.characters(codec="ascii"), max_size=40))
def test_a_problem_never_repeats_the_address(text: str) -> None:
    """An address may hold a key, and problems are logged."""
    problem = check_url_template(f"https://example.com/{{id}}?key=hidden {text}")
    assert problem is not None
    assert "hidden" not in problem
    assert problem.isprintable()


def test_headers_are_a_json_object() -> None:
    """Names keep their case, values their inner spaces; an empty setting means no headers."""
    assert parse_headers('{"X-Api-Key": "abc", "authorization": "Bearer a b"}') == {
        "X-Api-Key": "abc",
        "authorization": "Bearer a b",
    }
    assert parse_headers("") == {}
    assert parse_headers(" ") == {}
    assert parse_headers("{}") == {}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("hidden", "JSON object"),
        ('["hidden"]', "JSON object"),
        ('[["X-Key", "hidden"]]', "JSON object"),
        ('"hidden"', "JSON object"),
        ("null", "JSON object"),
        ("[" * 100_000, "JSON object"),
        ('{"X Key": "hidden"}', "X Key"),
        ('{"": "hidden"}', "invalid header name"),
        ('{"X\\r\\nY": "hidden"}', r"X\r\nY"),
        ('{"Ü": "hidden"}', r"\xdc"),
        ('{"X-Key": "hidden\\r\\nEvil: 1"}', "X-Key"),
        ('{"X-Key": "hidden\\u0000"}', "X-Key"),
        ('{"X-Key": "hidden\\u00fc"}', "X-Key"),
        ('{"X-Key": " hidden"}', "X-Key"),
        ('{"X-Key": ""}', "X-Key"),
        ('{"X-Key": 7}', "X-Key"),
        ('{"X-Key": {"hidden": "1"}}', "X-Key"),
        ('{"X-Key": "hidden", "x-key": "1"}', "twice"),
        ('{"Host": "hidden"}', "Host"),
        ('{"transfer-encoding": "hidden"}', "transfer-encoding"),
        ('{"Accept-Encoding": "hidden"}', "Accept-Encoding"),
    ],
)
def test_headers_that_cannot_be_sent_are_reported_without_their_values(text: str, problem: str) -> None:
    """A value is likely a secret; no line break gets in."""
    with pytest.raises(ValueError, match=r"^[a-z]") as found:
        parse_headers(text)
    assert problem in str(found.value)
    assert "hidden" not in str(found.value)
    assert str(found.value).isprintable()


@given(st.dictionaries(st.text(max_size=5), st.text(max_size=5) | st.integers(), max_size=3))
def test_any_object_is_accepted_whole_or_refused(headers: dict[str, object]) -> None:
    """Nothing is dropped or changed silently."""
    try:
        parsed = parse_headers(json.dumps(headers))
    except ValueError as error:
        assert str(error).isascii()
        return
    assert parsed == headers
