"""Tests of how results are sent: in pages, as a whole, and in the form that a caller accepts."""

import json
from uuid import UUID

import pytest

from ingest_core.api import handlers as api
from ingest_core.api.negotiation import preferred_type
from ingest_core.models import Item
from ingest_core.service import service
from tests.support.callers import Desk

NDJSON, JSONL, JSON = "application/x-ndjson", "application/jsonl", "application/json"


@pytest.fixture
def desk() -> Desk:
    """A service in memory."""
    return Desk()


async def follow(desk: Desk, ingestion_id: UUID, query: str) -> list[int]:
    """The IDs of all pages."""
    found = []
    while True:
        page = await desk.call(api.results, ingestion_id=ingestion_id, query=query)
        found += [line["id"] for line in page.json]
        if "Link" not in page.headers:
            return found
        query = page.headers["Link"].partition("?")[2].partition(">")[0]


async def test_pages_hold_results_only_and_are_linked(desk: Desk) -> None:
    """Until there is no more now."""
    one = await desk.post(range(1, 22))
    await desk.run(one, *range(5))
    page = await desk.call(api.results, ingestion_id=one, query="limit=2")
    assert page.text == "".join(f'{{"id": {n}, "data": {{"n":{n}}}}}\n' for n in range(1, 7))
    assert page.headers["Link"] == f'</results/{one}?cursor=2&limit=2>; rel="next"'
    assert await follow(desk, one, "limit=2") == list(range(1, 16))
    assert (await desk.call(api.results, ingestion_id=one, query="limit=2&cursor=900")).json == []


async def test_without_a_limit_an_ended_ingestion_comes_whole(desk: Desk) -> None:
    """`curl …/results/{id} > out.ndjson` has all of it, and nothing else."""
    one = await desk.post(range(1, 601))
    await desk.run(one)
    answer = await desk.call(api.results, ingestion_id=one)
    assert [line["id"] for line in answer.json] == list(range(1, 601))
    assert "Link" not in answer.headers


async def test_without_a_limit_an_unfinished_answer_says_so_in_its_last_line(desk: Desk) -> None:
    """Where it goes on, so that nobody takes it for the whole."""
    one = await desk.post(range(1, 10))
    assert (await desk.call(api.results, ingestion_id=one)).json == [{"next": f"/results/{one}?cursor=0"}]
    await desk.run(one, 0)
    first = await desk.call(api.results, ingestion_id=one)
    assert [line.get("id") for line in first.json] == [1, 2, 3, None]
    assert first.json[-1] == {"next": f"/results/{one}?cursor=1"}
    assert "Link" not in first.headers  # there is no more now: who follows links would ask again and again
    await desk.run(one, 1, 2)
    rest = await desk.call(api.results, ingestion_id=one, query="cursor=1")
    assert [line["id"] for line in rest.json] == list(range(4, 10))


async def test_without_a_limit_an_answer_ends_when_it_is_too_large(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then there is a link too, as there is more now."""
    monkeypatch.setattr(service, "WHOLE_BYTES", 2500)
    one = await desk.post(range(1, 10))
    for index in range(3):
        await desk.start(one, index)
        await desk.end(one, index, Item(item_id=index + 1, data=json.dumps("x" * 1300)))
    answer = await desk.call(api.results, ingestion_id=one)
    assert [line.get("id") for line in answer.json] == [1, 2, None]
    assert answer.json[-1] == {"next": f"/results/{one}?cursor=2"}
    assert answer.headers["Link"] == f'</results/{one}?cursor=2>; rel="next"'
    rest = await desk.call(api.results, ingestion_id=one, query="cursor=2")
    assert [line["id"] for line in rest.json] == [3]


async def test_a_whole_answer_goes_on_behind_a_thousand_batches(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its rows are read in parts."""
    monkeypatch.setattr(service, "_READ_TOGETHER", 7)
    one = await desk.post(range(1, 61))
    await desk.run(one)
    assert [line["id"] for line in (await desk.call(api.results, ingestion_id=one)).json] == list(range(1, 61))


@pytest.mark.parametrize(("accept", "media_type"), [("", NDJSON), (JSONL, JSONL), (JSON, JSON)])
async def test_results_come_in_the_form_that_is_accepted(desk: Desk, accept: str, media_type: str) -> None:
    """Lines, or an array with the same values."""
    one = await desk.post(range(1, 7))
    await desk.run(one, 0)
    answer = await desk.call(api.results, ingestion_id=one, headers={"accept": accept})
    assert (answer.headers["Content-Type"], answer.headers["Vary"]) == (media_type, "Accept")
    assert [value.get("id") for value in answer.json] == [1, 2, 3, None]


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", NDJSON), ("*/*", NDJSON), ("application/*", NDJSON), ("text/html", NDJSON), (",", NDJSON), ("x", NDJSON),
        (JSON, JSON), ("Application/JSON", JSON), (f"{JSON};charset=utf-8", JSON), (f" {JSON} ; q=0.1 ", JSON),
        (f"{JSON}, text/plain, */*", JSON), (f"{JSON};q=0.9, */*", NDJSON), (f"{JSON};q=0", NDJSON),
        (f"{JSON};Q=0, */*", NDJSON), (f"{NDJSON};q=0, */*", JSONL), (f"{NDJSON};q=0.2, {JSON};q=0.3", JSON),
        (f"{NDJSON}, {JSON}", NDJSON), (f"{JSON}, {NDJSON}", NDJSON), (JSONL, JSONL), (f"{JSONL}, {JSON};q=0.5", JSONL),
        (f"{NDJSON}, */*;q=0.5", NDJSON), ("application/*;q=0.2, */*;q=0.9", NDJSON),
        (f"{JSON};q=2", NDJSON), (f"{JSON};q=0.1234, {JSONL};q=0.1", JSONL),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", NDJSON),
        (f'{JSON};a="x,y;q=0"', NDJSON), (f'text/x;a="{JSON}, z", {JSONL}', JSONL), ("*/*;q=0", NDJSON),
        ('"' * 5000, NDJSON), (",;" * 5000, NDJSON),
    ],
)  # fmt: skip
def test_the_accept_header_is_read_as_the_rfc_says(accept: str, expected: str) -> None:
    """RFC 9110, section 12.5.1."""
    assert preferred_type(accept) == expected
