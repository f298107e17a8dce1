"""Tests of what a request may look like, row by row."""

import hashlib
import json
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest_core.api import bodies as contract
from ingest_core.api.bodies import idempotency_key, parse_request
from ingest_core.api.json_body import MAX_BODY_BYTES, MAX_ERRORS, body_of
from ingest_core.api.messages import Request
from ingest_core.api.problems import Problem

MAX_IDS = 100_000


def parse(body: bytes | str | dict) -> object:
    """Parse a body given in any form."""
    if isinstance(body, dict):
        body = json.dumps(body)
    return parse_request(body.encode() if isinstance(body, str) else body, max_ids=MAX_IDS)


def problem(body: bytes | str | dict) -> Problem:
    """The problem that a body gives."""
    with pytest.raises(Problem) as caught:
        parse(body)
    return caught.value


@pytest.mark.parametrize("ids", [[1], [1, 2, 3, 4], [10**9 + 7], [5, 5, 5], [3, 2, 1]])
def test_a_list_of_integers_is_accepted(ids: list[int]) -> None:
    """Order and duplicates are kept."""
    assert parse({"ids": ids, "priority": "LOW"}).ids == ids


def test_a_hundred_thousand_ids_are_accepted() -> None:
    """The limit itself is within the limit."""
    assert len(parse({"ids": list(range(1, MAX_IDS + 1)), "priority": "HIGH"}).ids) == MAX_IDS


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ('{"ids": [], "priority": "HIGH"}', "/ids"),
        ({"ids": list(range(1, MAX_IDS + 2)), "priority": "HIGH"}, "/ids"),
        *[(f'{{"ids": [1, {text}], "priority": "HIGH"}}', "/ids/1")
          for text in ("0", "-1", "1000000008", "9" * 5000, "true", "1.0", "1e3", '"1"', "null", "[1]", "{}")],
        ('{"ids": "1", "priority": "HIGH"}', "/ids"),
        ('{"ids": null, "priority": "HIGH"}', "/ids"),
        ('{"ids": {"0": 1}, "priority": "HIGH"}', "/ids"),
        ('{"priority": "HIGH"}', "/ids"),
        ('{"ids": [1]}', "/priority"),
        ('{"ids": [1], "priority": "high"}', "/priority"),
        ('{"ids": [1], "priority": "URGENT"}', "/priority"),
        ('{"ids": [1], "priority": null}', "/priority"),
        ('{"ids": [1], "priority": 1}', "/priority"),
        ('{"ids": [1], "priority": "\\ud800"}', "/priority"),
        *[({"ids": [1], "priority": "HIGH", "label": label}, "/label")
          for label in ("", "x" * 101, 1, None, "a\nb", "\x7f", "\x85", "\ud800")],
        ('{"ids": [1], "priority": "HIGH", "label": "a", "label": "a"}', "/label"),
        ('{"ids": [1], "priority": "HIGH", "a/b~c": 1}', "/a~1b~0c"),
        ('{"ids": [1], "priority": "HIGH", "\\ud800": 1}', ""),
        ('{"ids": [1], "priority": "HIGH", "priority": "HIGH"}', "/priority"),
        ('{"ids": [1], "ids": [2], "priority": "HIGH"}', "/ids"),
        ("[1, 2, 3]", ""), ("null", ""), ("3", ""), ('"HIGH"', ""), ("true", ""),
    ],
)  # fmt: skip
def test_valid_json_that_breaks_the_contract_is_422(body: str | dict, pointer: str) -> None:
    """The pointer names the place, and the answer can be encoded."""
    found = problem(body)
    assert found.status == 422
    assert [error["pointer"] for error in found.errors] == [pointer]
    assert all(error["detail"] for error in found.errors)
    json.dumps(found.errors).encode()


@pytest.mark.parametrize(
    "body",
    [
        b"", b" \n", b"{", b"abc", b"{'ids': [1]}", b'{"ids": [1], "priority": "HIGH"} x', b"\xff\xfe\x00",
        b'\xef\xbb\xbf{"ids": [1], "priority": "HIGH"}', '{"ids": [1], "priority": "HIGH"}'.encode("utf-16"),
        b'{"ids": [NaN], "priority": "HIGH"}', b'{"ids": [Infinity], "priority": "HIGH"}',
        b"[" * 100_000, b'{"a":' * 50_000,
        b'{"ids": [1], "priority": "HI\nGH"}', b"\x00" * 2_000_000, b"[1," * 700_000,
    ],
)  # fmt: skip
def test_what_is_not_json_is_400(body: bytes) -> None:
    """The answer says what is wrong with the text."""
    found = problem(body)
    assert found.status == 400
    assert re.fullmatch(r"The body cannot be read: .*\. Send a JSON object in UTF-8\.", found.detail)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "it is empty"), (b"\xef\xbb\xbf{}", "it begins with a byte order mark"),
        (b"[NaN]", "NaN is no JSON value"),
        (b'{"a": "\xff"}', "it is not UTF-8 (byte 7)"),
    ],
)  # fmt: skip
def test_the_reason_is_the_bodys_own(body: bytes, reason: str) -> None:
    """Nothing of Python in it."""
    assert problem(body).detail == f"The body cannot be read: {reason}. Send a JSON object in UTF-8."


def test_deeply_nested_ids_are_refused() -> None:
    """Depth is no way to crash the parser."""
    assert problem(b'{"ids": ' + b"[" * 500 + b"]" * 500 + b', "priority": "HIGH"}').status in {400, 422}
    assert problem(b'{"ids": ' + b"[" * 200_000 + b"]" * 200_000 + b', "priority": "HIGH"}').status in {400, 422}


def test_a_body_over_the_limit_is_413() -> None:
    """Whatever it holds."""
    assert body_of(Request(body=b" " * MAX_BODY_BYTES))
    with pytest.raises(Problem) as caught:
        body_of(Request(body=b" " * (MAX_BODY_BYTES + 1)))
    assert caught.value.status == 413


def test_all_problems_are_named_at_once() -> None:
    """One round trip is enough to fix a request."""
    found = problem({"ids": [0, 1, "2"], "priority": "high", "colour": "red"})
    assert [error["pointer"] for error in found.errors] == ["/priority", "/colour", "/ids/0", "/ids/2"]


def test_errors_stop_at_twenty() -> None:
    """A hundred thousand wrong IDs neither fill the answer nor cost more than parsing them does."""
    body = json.dumps({"ids": ["x"] * 100_000, "priority": "HIGH"}).encode()
    started = time.process_time()
    json.loads(body)
    parsing = time.process_time() - started
    started = time.process_time()
    found = problem(body)
    assert len(found.errors) == 20
    assert time.process_time() - started < 20 * parsing + 0.1


def test_unknown_keys_are_not_all_validated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Noting an error for each of 300 000 keys would hold the event loop for seconds."""
    validated = []
    monkeypatch.setattr(contract.Body, "model_validate", validated.append)
    with pytest.raises(Problem):
        parse({**{f"x{number}": 1 for number in range(300_000)}, "ids": [0], "priority": "HIGH"})
    assert len(validated[0]) <= 3 + MAX_ERRORS
    assert {"ids", "priority"} < validated[0].keys()


def test_a_key_that_occurs_twice_is_found_in_no_more_time_than_parsing_takes() -> None:
    """Comparing each key with all others would hold the event loop for seconds."""
    body = b"{" + b",".join(b'"%x":1' % number for number in range(300_000)) + b',"0":1}'
    started = time.process_time()
    json.loads(body)
    parsing = time.process_time() - started
    started = time.process_time()
    assert problem(body).errors[0] == {"pointer": "/0", "detail": "This key occurs twice: give it once."}
    assert time.process_time() - started < 20 * parsing + 0.1


@pytest.mark.parametrize("body", [{"ids": "IN", "priority": "HIGH"}, ["IN"]])
def test_a_key_that_occurs_twice_further_in_is_no_error_of_the_whole(body: object) -> None:
    """A pointer says where the fault is: the value that holds the key is wrong anyway."""
    found = problem(json.dumps(body).replace('"IN"', '{"a": 1, "a": 2}').encode())
    assert [error["pointer"] for error in found.errors] == ["/ids" if isinstance(body, dict) else ""]


def test_equal_values_have_equal_digests() -> None:
    """However the JSON was written."""
    one = parse('{"ids": [1, 2], "priority": "HIGH"}')
    assert one.digest == parse('{"priority":"HIGH","ids":[1,2]}').digest
    assert one.digest != parse('{"ids": [2, 1], "priority": "HIGH"}').digest
    assert one.digest != parse('{"ids": [1, 2], "priority": "LOW"}').digest


@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_no_body_crashes_the_parser(body: bytes) -> None:
    """Any bytes are either a request or a problem of the caller's."""
    try:
        parse(body)
    except Problem as found:
        assert 400 <= found.status < 500


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


@given(st.fixed_dictionaries({"ids": JSON_VALUES, "priority": JSON_VALUES}, optional={"more": JSON_VALUES}))
def test_no_json_crashes_the_validation(body: dict) -> None:
    """Any JSON is either a request or a list of errors with pointers."""
    try:
        parse(body)
    except Problem as found:
        assert found.status in {400, 422}
        assert 1 <= len(found.errors) <= 20


@pytest.mark.parametrize("label", ["a", "x" * 100, "Kunden, Juli \u2013 \U0001f600", 'say "hi" \\ bye', " "])
def test_a_label_is_kept_as_it_is(label: str) -> None:
    """One to a hundred characters, however they are written in JSON."""
    for text in (json.dumps(label), json.dumps(label, ensure_ascii=False)):
        assert parse(f'{{"ids": [1], "priority": "LOW", "label": {text}}}').label == label


def test_a_label_is_part_of_what_was_asked_for() -> None:
    """And a list without one has the digest that it had before there were labels."""
    plain = parse({"ids": [1], "priority": "LOW"})
    assert plain.digest != parse({"ids": [1], "priority": "LOW", "label": "a"}).digest
    assert plain.digest == hashlib.sha256(b"LOW\0" + (1).to_bytes(4, "little")).hexdigest()


@pytest.mark.parametrize(
    ("given", "key"),
    [
        (None, None), ("a", "a"), ("x" * 255, "x" * 255), ("with space", "with space"), ("~!@#", "~!@#"),
        ('"a"', "a"), (f'"{"x" * 255}"', "x" * 255), (r'"a\"b\\c"', r'a"b\c'),
        ('"a', '"a'), ('a"', 'a"'), ('"', '"'), ('"a"b"', '"a"b"'), (r'"a\b"', r'"a\b"'),
    ],
)  # fmt: skip
def test_a_printable_key_is_taken(given: str | None, key: str | None) -> None:
    """One to 255 characters; a string in quotation marks is the key between them."""
    assert idempotency_key(given) == key


@pytest.mark.parametrize("key", ["", '""', "x" * 256, f'"{"x" * 256}"', "\u00e9", "tab\there", "line\nbreak", "\x7f"])
def test_another_key_is_400(key: str) -> None:
    """The answer says what a key may be."""
    with pytest.raises(Problem) as caught:
        idempotency_key(key)
    assert caught.value.status == 400
