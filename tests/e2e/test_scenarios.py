"""The reference scenarios, over HTTP, against a host and a real storage emulator.

Order and distance are judged by the batches' records, never by when a snapshot was taken. Where something must wait in
its lane, an ingestion of several batches occupies the slots before it.
"""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from devtools.child import wait_until
from tests.e2e.conftest import INTERVAL
from tests.e2e.limit import gaps, started
from tests.soak.verdict import CLOCK_SLEW
from tests.support.hosts import FunctionHost, func_version


def occupy(host: FunctionHost) -> str:
    """Fill two slots; return when the first has been used: what is posted now waits for an interval at least."""
    blocker = host.post([1, 2, 3, 4, 5, 6], "HIGH")
    host.wait_for(blocker, "triggered")
    return blocker


def while_it_waits(host: FunctionHost, ids: list[int], look: Callable[[str], Any]) -> tuple[str, Any]:
    """Post to the lowest lane and look at it; return its ID, and what was seen while another one had the next slot."""
    for _ in range(10):
        blocker = occupy(host)
        waiting = host.post(ids, "LOW")
        seen, seen_at = look(waiting), datetime.now(UTC)
        host.wait_for(waiting, "completed")
        if seen_at < started(host.records(blocker)[-1]):
            return waiting, seen
    pytest.fail("the machine is too slow for a look within an interval")


def test_func_is_covered() -> None:
    """The suite runs on Core Tools too, where they are installed."""
    if not func_version():
        pytest.skip("Azure Functions Core Tools (func) are not on PATH: the suite covered the emulator only")


def test_ingest_endpoint_success(host: FunctionHost) -> None:
    """A list is accepted at once, and the answer says where to look and when."""
    reply = host.call("POST", "/ingest", {"ids": [1, 2, 3, 4, 5], "priority": "HIGH"})
    assert reply.status == 202
    assert reply.headers["content-type"] == "application/json"
    assert reply.headers["retry-after"] == "1"
    ingestion_id = reply.json["ingestion_id"]
    assert str(UUID(ingestion_id)) == ingestion_id
    assert reply.headers["location"] == f"/status/{ingestion_id}"
    assert host.call("GET", reply.headers["location"]).json["ingestion_id"] == ingestion_id


@pytest.mark.parametrize(
    ("body", "status", "pointer"),
    [
        (b"", 400, None), (b"not json", 400, None), (b"\xff\xfe", 400, None), (b"\xef\xbb\xbf{}", 400, None),
        (b"[" * 100_000, 400, None), (b"\0" * 2_000_000, 400, None), (b" " * (4 * 1024 * 1024 + 1), 413, None),
        ({"ids": [], "priority": "HIGH"}, 422, "/ids"), ({"ids": [0], "priority": "HIGH"}, 422, "/ids/0"),
        ({"ids": [True], "priority": "HIGH"}, 422, "/ids/0"), ({"ids": [1], "priority": "high"}, 422, "/priority"),
        ({"ids": [1]}, 422, "/priority"), ({"ids": [1], "priority": "LOW", "x": 1}, 422, "/x"),
        ('{"ids": [1], "ids": [2], "priority": "LOW"}', 422, "/ids"), ("[1]", 422, ""),
        ({"ids": list(range(1, 100_002)), "priority": "LOW"}, 422, "/ids"),
        ({"ids": ["1"] * 100_000, "priority": "LOW"}, 422, "/ids/0"),
    ],
)  # fmt: skip
def test_ingest_endpoint_invalid_input(host: FunctionHost, body: object, status: int, pointer: str | None) -> None:
    """Every wrong request gets a problem that says what to fix, whatever its content type."""
    reply = host.call("POST", "/ingest", body, {"Content-Type": "text/plain"})
    assert reply.status == status
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.json["status"] == status
    assert reply.json["title"]
    assert reply.json["detail"]
    if pointer is not None:
        assert reply.json["errors"][0]["pointer"] == pointer


def test_a_chunked_body_is_told_what_to_send(host: FunctionHost) -> None:
    """The host hands over an empty one."""
    reply = host.call("POST", "/ingest", iter([b"{}"]), {"Transfer-Encoding": "chunked"})
    assert reply.status == 411
    assert "Content-Length" in reply.json["detail"]


def test_a_wrong_method_is_told_which_ones_there_are(host: FunctionHost) -> None:
    """A browser that opens /ingest, for one; HEAD is as good as GET."""
    reply = host.call("GET", "/ingest")
    assert (reply.status, reply.headers["allow"]) == (405, "POST")
    assert (reply.headers["content-type"], reply.json["status"]) == ("application/problem+json", 405)
    reply = host.call("HEAD", "/health")
    assert (reply.status, reply.body) == (200, b"")


def test_an_idempotency_key_makes_a_retry_safe(host: FunctionHost) -> None:
    """Same key and values: same ingestion. Other values: 422. An unusable key: 400."""
    request, key = {"ids": [7], "priority": "HIGH"}, {"Idempotency-Key": "order 66"}
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda _: host.call("POST", "/ingest", request, key), range(8)))
    assert {(reply.status, reply.body) for reply in replies} == {(202, replies[0].body)}
    assert host.call("POST", "/ingest", {**request, "ids": [8]}, key).status == 422
    assert host.call("POST", "/ingest", request, {"Idempotency-Key": "x" * 256}).status == 400
    record = host.wait_for(replies[0].json["ingestion_id"], "completed")
    assert record["counts"]["completed"] == 1


@pytest.mark.parametrize("ingestion_id", ["00000000-0000-4000-8000-000000000000", "nonsense", "%20", "1'2"])
def test_status_endpoint_not_found(host: FunctionHost, ingestion_id: str) -> None:
    """A malformed ID is just unknown."""
    for path in (f"/status/{ingestion_id}", f"/status/{ingestion_id}/batches", f"/results/{ingestion_id}"):
        reply = host.call("GET", path)
        assert (reply.status, reply.headers["content-type"]) == (404, "application/problem+json")


def test_status_endpoint_initial_state(host: FunctionHost) -> None:
    """What waits in its lane has not started, batch by batch."""
    waiting, status = while_it_waits(host, [5, 4, 3, 2], host.status)
    assert (status["ingestion_id"], status["status"]) == (waiting, "yet_to_start")
    assert [(batch["ids"], batch["status"]) for batch in status["batches"]] == [
        ([5, 4, 3], "yet_to_start"), ([2], "yet_to_start"),
    ]  # fmt: skip
    assert len({UUID(batch["batch_id"]) for batch in status["batches"]}) == 2


def test_batching_logic(host: FunctionHost) -> None:
    """Five IDs make a batch of three and a batch of two, in their order."""
    status = host.status(host.post([1, 2, 3, 4, 5], "LOW"))
    assert [batch["ids"] for batch in status["batches"]] == [[1, 2, 3], [4, 5]]


def test_processing_and_status_updates(host: FunctionHost) -> None:
    """A batch per slot: what is seen on the way only moves forward, and the state between two slots is among it."""
    one = host.post([1, 2, 3, 4, 5], "HIGH")
    seen: list[tuple[str, ...]] = []

    def finished() -> bool:
        status = host.status(one)
        snapshot = (status["status"], *(batch["status"] for batch in status["batches"]))
        if snapshot not in seen:
            seen.append(snapshot)
        return status["status"] == "completed"

    wait_until(finished, seconds=120, what="both batches are completed")
    forward = [
        ("yet_to_start", "yet_to_start", "yet_to_start"), ("triggered", "triggered", "yet_to_start"),
        ("triggered", "completed", "yet_to_start"), ("triggered", "completed", "triggered"),
        ("completed", "completed", "completed"),
    ]  # fmt: skip
    assert seen == [snapshot for snapshot in forward if snapshot in seen]
    assert forward[2] in seen
    records = host.records(one)
    assert [(record["status"], record["attempts"], record["error"]) for record in records] == [
        ("completed", 1, None)
    ] * 2
    assert records[0]["completed_at"] <= records[1]["triggered_at"]


def test_rate_limiting(host: FunctionHost) -> None:
    """Two ingestions, three slots: an interval apart, and the second untouched until the first is done."""
    occupy(host)
    one, two = host.post([1, 2, 3, 4], "HIGH"), host.post([5], "HIGH")
    host.wait_for(two, "completed")
    records = host.records(one, two)
    assert [record["ids"] for record in records] == [[1, 2, 3], [4], [5]]
    assert min(gaps(records)) >= INTERVAL - CLOCK_SLEW


def test_priority_handling_and_rate_limiting(host: FunctionHost) -> None:
    """HIGH overtakes MEDIUM, which came first; MEDIUM overtakes LOW."""
    occupy(host)
    low = host.post([31], "LOW")
    medium = host.post([11, 12, 13, 14, 15], "MEDIUM")
    high = host.post([21, 22, 23, 24], "HIGH")
    host.wait_for(low, "completed")
    records = host.records(low, medium, high)
    assert [record["ids"] for record in records] == [[21, 22, 23], [24], [11, 12, 13], [14, 15], [31]]
    assert min(gaps(records)) >= INTERVAL - CLOCK_SLEW


def test_concurrent_requests(host: FunctionHost) -> None:
    """Ten callers at once: ten batches, all complete, none twice, an interval apart."""
    with ThreadPoolExecutor(10) as pool:
        ids = list(pool.map(lambda n: host.post([n * 3 + 1, n * 3 + 2, n * 3 + 3], "MEDIUM"), range(10)))
    for one in ids:
        host.wait_for(one, "completed")
    records = host.records(*ids)
    assert len(records) == 10
    assert sorted(item for record in records for item in record["ids"]) == list(range(1, 31))
    assert {(record["status"], record["attempts"]) for record in records} == {("completed", 1)}
    assert min(gaps(records)) >= INTERVAL - CLOCK_SLEW


def test_results_come_as_lines_or_as_an_array(host: FunctionHost) -> None:
    """In pages, in the order of the request."""
    one = host.post([3, 1, 2, 9], "HIGH")
    host.wait_for(one, "completed")
    lines = host.call("GET", f"/results/{one}?limit=1")
    assert lines.headers["content-type"] == "application/x-ndjson"
    assert [json.loads(line)["id"] for line in lines.body.splitlines()] == [3, 1, 2]
    following = lines.headers["link"].removeprefix("<").removesuffix('>; rel="next"')
    rest = host.call("GET", following, headers={"Accept": "application/json"})
    assert rest.headers["content-type"] == "application/json"
    assert [entry["id"] for entry in rest.json] == [9]
    assert "link" not in rest.headers


def test_the_board_is_a_page_that_reads_json(host: FunctionHost) -> None:
    """The page is the same for everybody; what it shows comes from elsewhere."""
    page = host.call("GET", "/")
    assert page.headers["content-type"].startswith("text/html")
    low, lanes = while_it_waits(host, [1], lambda _: host.call("GET", "/lanes").json)
    assert [one["ingestion_id"] for one in lanes["lanes"]["LOW"]["front"]] == [low]


def test_the_service_says_that_it_is_well(host: FunctionHost) -> None:
    """For whoever watches it."""
    reply = host.call("GET", "/health")
    assert (reply.status, reply.json["status"]) == (200, "ok")


def test_a_wrong_setting_is_named_by_every_answer(start: object) -> None:
    """The host starts all the same, and says what to fix."""
    host = start(INGEST_INTERVAL_SECONDS="soon", INGEST_BATCH_SIZE="0")
    for method, path in (("GET", "/health"), ("POST", "/ingest"), ("GET", "/status/x")):
        reply = host.call(method, path, b"" if method == "POST" else None)
        assert (reply.status, reply.headers["content-type"]) == (503, "application/problem+json")
        assert "INGEST_INTERVAL_SECONDS" in reply.json["detail"]
        assert "INGEST_BATCH_SIZE" in reply.json["detail"]
    host.stop()
