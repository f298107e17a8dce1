"""The short cut for faultless requests decides as the long way does."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest_core.api import bodies as contract
from ingest_core.api.bodies import MAX_ID, parse_request
from ingest_core.api.problems import Problem
from ingest_core.models import IngestRequest

NUMBERS = st.one_of(
    st.integers(-1, MAX_ID + 1).map(str),
    st.sampled_from(
        ["-0", "01", "+1", "1.0", "1e3", "1E0", "true", "null", "NaN", "[1]", "1" * 5000, "0x1", "1_0", "\u0661"]
    ),
)
BLANKS = st.sampled_from(["", " ", "\n", "\t", "\x0c", "\xa0", "\ufeff"])
IDS = st.lists(NUMBERS, max_size=4).map(",".join)
KEYS = st.sampled_from(["ids", "priority", "\\u0069ds", "IDS", "other"])
LABELS = st.sampled_from(["a", "", "x" * 101, "\\u0007", "\\ud800", '\\"', "\\ud83d\\ude00", "\u00e4"])
PRIORITIES = st.sampled_from(["HIGH", "\\u0048IGH", "high", "LOW ", "MEDIUM"])


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """Requests with zero, one or several faults, also in how their JSON is written."""
    members = [f'"{draw(KEYS)}":{draw(BLANKS)}[{draw(IDS)}]', f'"{draw(KEYS)}":"{draw(PRIORITIES)}"']
    members += [f'"{draw(KEYS)}":[{draw(IDS)}]'] * draw(st.integers(0, 1))
    members += [f'"{draw(st.sampled_from(["label", "ids"]))}":"{draw(LABELS)}"' for _ in range(draw(st.integers(0, 2)))]
    text = draw(BLANKS) + "{" + ",".join(draw(st.permutations(members))) + "}" + draw(BLANKS)
    return text.encode(draw(st.sampled_from(["utf-8", "utf-8", "utf-8", "utf-16"])))


def decide(body: bytes) -> IngestRequest | tuple[int, object]:
    """What a body comes to."""
    try:
        return parse_request(body, max_ids=3)
    except Problem as problem:
        return problem.status, problem.errors


@given(bodies())
def test_the_short_cut_and_the_long_way_agree(body: bytes) -> None:
    """What the short cut accepts, the long way accepts with the same values, and the other way round."""
    short = decide(body)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(contract, "_parse_faultless", lambda _: None)
        assert decide(body) == short


@pytest.mark.parametrize("more", [{}, {"label": "July"}])
def test_a_faultless_request_takes_the_short_cut(monkeypatch: pytest.MonkeyPatch, more: dict) -> None:
    """Otherwise there would be no use in it."""
    monkeypatch.setattr(contract, "parse_json", lambda _: pytest.fail("the long way"))
    body = json.dumps({"priority": "LOW", "ids": [3, 1, 3], **more}).encode()
    found = parse_request(body, max_ids=3)
    assert (list(found.ids), found.label) == ([3, 1, 3], more.get("label", ""))
