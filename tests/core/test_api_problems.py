"""Tests of the contract's edges: methods, bodies, query parameters, and what every error answer looks like."""

import json
from uuid import UUID

import pytest

from ingest_core.api import handlers as api
from ingest_core.api.handlers import Answer, Handler, Request
from ingest_core.api.problems import KINDS
from ingest_core.errors import StorageUnavailable
from tests.support.callers import Desk, Told

NOBODY = UUID("00000000-0000-4000-8000-000000000000")

RESOURCES: list[tuple[Handler, dict[str, str], str]] = [
    (api.ingest, {}, "POST"),
    (api.status, {"ingestion_id": str(NOBODY)}, "GET, HEAD"),
    (api.batches, {"ingestion_id": str(NOBODY)}, "GET, HEAD"),
    (api.results, {"ingestion_id": str(NOBODY)}, "GET, HEAD"),
    (api.ingestions, {}, "GET, HEAD"),
    (api.ingestion, {"ingestion_id": str(NOBODY)}, "GET, HEAD, PATCH"),
    (api.cancel, {"ingestion_id": str(NOBODY)}, "POST"),
    (api.retry, {"ingestion_id": str(NOBODY)}, "POST"),
    (api.lanes, {}, "GET, HEAD"),
    (api.metrics, {}, "GET, HEAD"),
    (api.pause, {"switch": "LOW"}, "PUT, DELETE"),
    (api.health, {}, "GET, HEAD"),
]
KEYED = [resource for resource in RESOURCES if resource[0] is not api.health]


@pytest.fixture
def desk() -> Desk:
    """A service in memory."""
    return Desk()


def assert_problem(answer: Told, status: int, slug: str) -> dict:
    """An answer in the form of RFC 9457."""
    assert (answer.status, answer.headers["Content-Type"]) == (status, "application/problem+json")
    fields: dict = answer.json
    assert (fields["status"], fields["type"]) == (status, f"/problems/{slug}")
    assert fields["title"]
    assert fields["detail"]
    return fields


def test_every_kind_of_problem_has_a_name_of_its_own() -> None:
    """Programs tell problems apart by it, so it never changes."""
    slugs = [kind.slug for kind in KINDS]
    assert len(slugs) == len(set(slugs)) == 19


@pytest.mark.parametrize(("handler", "path", "allow"), RESOURCES)
@pytest.mark.parametrize("method", ["OPTIONS", "TRACE", "FOO", "POST", "GET", "PUT", "DELETE", "PATCH"])
async def test_another_method_is_405(desk: Desk, handler: Handler, path: dict, allow: str, method: str) -> None:
    """It says which methods the path serves; by itself the host would say nothing but 404."""
    if method in allow.split(", "):
        return
    answer = await desk.call(handler, method, body={}, **path)
    assert_problem(answer, 405, "method-not-allowed")
    assert answer.headers["Allow"] == allow
    assert desk.calls == []


@pytest.mark.parametrize(("handler", "path", "allow"), RESOURCES)
async def test_head_is_answered_as_get_is(desk: Desk, handler: Handler, path: dict, allow: str) -> None:
    """The host leaves the body out (RFC 9110, section 9.3.2)."""
    if "HEAD" in allow:
        assert (await desk.call(handler, "HEAD", **path)).status == (await desk.call(handler, "GET", **path)).status


@pytest.mark.parametrize(("handler", "path", "allow"), KEYED)
@pytest.mark.parametrize("query", ["limt=5", "x", "limit=", "limit=5&limit=5", "%00=1", "\ud800=%ff"])
async def test_a_query_parameter_that_is_not_known_is_422(
    desk: Desk, handler: Handler, path: dict, allow: str, query: str
) -> None:
    """Or empty, or given twice."""
    answer = await desk.call(handler, allow.split(", ", maxsplit=1)[0], query=query, **path)
    assert_problem(answer, 422, "invalid-query")
    assert desk.calls == []


async def test_what_is_not_known_is_answered_with_what_is(desk: Desk) -> None:
    """A caller who has misspelt a name need not look it up."""
    for handler, takes in (
        (api.ingestions, "status, priority, limit and cursor"), (api.results, "cursor and limit"), (api.lanes, "none"),
    ):  # fmt: skip
        detail = (await desk.call(handler, query="x=1", ingestion_id=NOBODY)).json["detail"]
        assert detail == f"Unknown parameter 'x': this path takes {takes}."
    for (handler, method, path), takes in zip(
        BODIES, ("ids, priority and label", "priority", "reason", "none", "reason and until"), strict=True
    ):
        errors = (await desk.call(handler, method, body={"x": 1}, **path)).json["errors"]
        assert {"pointer": "/x", "detail": f"Unknown field: this body takes {takes}."} in errors


@pytest.mark.parametrize(("handler", "path", "allow"), RESOURCES)
async def test_the_hosts_own_parameters_are_no_business_of_ours(
    desk: Desk, handler: Handler, path: dict, allow: str
) -> None:
    """A function key may be in the URL."""
    answer = await desk.call(handler, allow.split(", ", maxsplit=1)[0], query="code=x&clientId=&code=", **path)
    assert "/problems/invalid-query" not in answer.text


async def test_a_host_that_is_no_host_is_no_fault_of_ours(desk: Desk) -> None:
    """A caller chooses the header, and the host makes a URL of it."""
    answer = await api.respond(desk.context, api.lanes, Request(url="http://[/lanes?limt=1#?x"))
    assert answer.status == 422


@pytest.mark.parametrize(
    ("handler", "query"),
    [
        *[(handler, query) for handler in (api.batches, api.results)
          for query in ("limit=0", "limit=1001", "limit=x", "cursor=-1", "cursor=1e3", "cursor=%D9%A3", "cursor=+1")],
        (api.ingestions, "limit=101"), (api.ingestions, "status=done"), (api.ingestions, "status=completed,"),
        (api.ingestions, "priority=high"), (api.ingestions, "cursor=x"), (api.ingestions, "cursor=00000000"),
    ],
)  # fmt: skip
async def test_a_query_parameter_that_cannot_be_used_is_422(desk: Desk, handler: Handler, query: str) -> None:
    """The answer names it."""
    one = await desk.post([1])
    fields = assert_problem(await desk.call(handler, query=query, ingestion_id=one), 422, "invalid-query")
    assert query.partition("=")[0] in fields["detail"]


BODIES: list[tuple[Handler, str, dict[str, str]]] = [
    (api.ingest, "POST", {}),
    (api.ingestion, "PATCH", {"ingestion_id": str(NOBODY)}),
    (api.cancel, "POST", {"ingestion_id": str(NOBODY)}),
    (api.retry, "POST", {"ingestion_id": str(NOBODY)}),
    (api.pause, "PUT", {"switch": "LOW"}),
]


@pytest.mark.parametrize(("handler", "method", "path"), BODIES)
async def test_every_body_is_read_strictly(desk: Desk, handler: Handler, method: str, path: dict) -> None:
    """And nothing is done before it is right."""
    for body, status, slug in (
        (b"{", 400, "invalid-json"), (b"\xff", 400, "invalid-json"), (b"[1]", 422, "invalid-request"),
        (b'{"x": 1}', 422, "invalid-request"), (b'{"x": 1, "x": 1}', 422, "invalid-request"),
        (b" " * (4 * 1024 * 1024 + 1), 413, "body-too-large"),
    ):  # fmt: skip
        fields = assert_problem(await desk.call(handler, method, body=body, **path), status, slug)
        assert len(fields.get("errors", [])) <= 20
    chunked = await desk.call(handler, method, headers={"transfer-encoding": "Chunked"}, **path)
    assert_problem(chunked, 411, "length-required")
    assert desk.calls == []


@pytest.mark.parametrize("handler", [api.status, api.batches, api.results, api.ingestion, api.cancel, api.retry])
@pytest.mark.parametrize(
    "unknown", ["", "x", str(NOBODY), f"{{{NOBODY}}}", str(NOBODY).replace("-", ""), "a/b", "\ud800", "\u0661" * 36]
)
async def test_an_unknown_ingestion_is_404(desk: Desk, handler: Handler, unknown: str) -> None:
    """A malformed ID is just unknown."""
    method = "POST" if handler in (api.cancel, api.retry) else "GET"
    assert_problem(await desk.call(handler, method, ingestion_id=unknown), 404, "unknown-ingestion")


async def test_an_id_may_be_written_in_upper_case(desk: Desk) -> None:
    """The answer has it as it was handed out."""
    one = await desk.post([1])
    answer = await desk.call(api.ingestion, ingestion_id=str(one).upper())
    assert answer.json["ingestion_id"] == str(one)


@pytest.mark.parametrize("switch", ["high", "", "ALL ", "URGENT", "\ud800"])
async def test_an_unknown_lane_is_404(desk: Desk, switch: str) -> None:
    """It says which there are."""
    for method in ("PUT", "DELETE"):
        assert (
            "HIGH" in assert_problem(await desk.call(api.pause, method, switch=switch), 404, "unknown-lane")["detail"]
        )


async def test_what_cannot_be_done_any_more_is_409(desk: Desk) -> None:
    """With a type for each case."""
    one = await desk.post([1])
    assert_problem(await desk.call(api.retry, "POST", ingestion_id=one), 409, "ingestion-not-ended")
    await desk.run(one)
    assert_problem(await desk.call(api.retry, "POST", ingestion_id=one), 409, "nothing-to-retry")
    assert_problem(await desk.call(api.cancel, "POST", ingestion_id=one), 409, "ingestion-ended")
    moved = await desk.call(api.ingestion, "PATCH", ingestion_id=one, body={"priority": "LOW"})
    assert_problem(moved, 409, "ingestion-ended")


async def test_a_reused_key_is_422(desk: Desk) -> None:
    """In quotation marks or not, it is the same key."""
    await desk.call(api.ingest, "POST", body={"ids": [1], "priority": "LOW"}, headers={"idempotency-key": "k"})
    for key in ("k", '"k"'):
        answer = await desk.call(
            api.ingest, "POST", body={"ids": [2], "priority": "LOW"}, headers={"idempotency-key": key}
        )
        assert_problem(answer, 422, "idempotency-key-reused")
    wrong = await desk.call(api.ingest, "POST", body={"ids": [2], "priority": "LOW"}, headers={"idempotency-key": ""})
    assert_problem(wrong, 400, "idempotency-key-invalid")


@pytest.mark.parametrize("handler", [api.status, api.batches, api.results, api.ingestion, api.cancel])
async def test_a_row_that_cannot_be_read_is_409(desk: Desk, handler: Handler) -> None:
    """It was edited by hand: the answer says where, and nothing is overwritten."""
    one = await desk.post([1])
    (row,) = desk.account.table("ingestions").values()
    row.entity["id_count"] = "many"
    fresh = Desk(desk.account, desk.clock)
    method = "POST" if handler is api.cancel else "GET"
    assert (
        str(one) in assert_problem(await fresh.call(handler, method, ingestion_id=one), 409, "unreadable-row")["detail"]
    )


@pytest.mark.parametrize(("handler", "path", "allow"), RESOURCES)
async def test_storage_that_cannot_be_reached_is_503_in_one_line(
    desk: Desk, handler: Handler, path: dict, allow: str, caplog: pytest.LogCaptureFixture
) -> None:
    """With Retry-After."""
    for call in ("table.get", "table.insert", "table.merge", "table.query"):
        desk.before[call] = StorageUnavailable("storage cannot be reached")
    bodies = {"POST": {"ids": [1], "priority": "LOW"} if handler is api.ingest else None, "PATCH": {"priority": "LOW"}}
    for method in allow.replace("HEAD, ", "").split(", "):
        caplog.clear()
        answer = await desk.call(handler, method, body=bodies.get(method), **path)
        if answer.status == 503:
            break
    assert_problem(answer, 503, "storage-unavailable")
    assert answer.headers["Retry-After"] == "5"
    assert caplog.messages == ["request.storage_unavailable error=storage cannot be reached"]


async def test_a_fault_of_ours_is_a_problem_too(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    """The trace is for the log, not for the caller."""

    async def broken(*_: object) -> Answer:
        raise RuntimeError("oops")

    assert "oops" not in json.dumps(assert_problem(await desk.call(broken), 500, "internal-error"))
    assert caplog.messages == ["request.failed"]
