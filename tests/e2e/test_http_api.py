"""The service in front of a real HTTP API that delays, fails, asks to wait, and sends what it should not."""

import json
from collections.abc import Iterator
from itertools import pairwise

import pytest
from azure.storage.queue import QueueClient

from ingest_core.adapters.azure import QUEUE_API_VERSION
from tests.e2e.conftest import INTERVAL, Start
from tests.soak.api import Api, running_api
from tests.support.hosts import FunctionHost
from tests.support.processes import Azurite, wait_until

SECRET = "Bearer not-for-logs"  # noqa: S105 # made up
LONGEST_PAUSE = 3


def starts(api: Api, *ids: int) -> list[float]:
    """When these IDs were asked for, on the machine's monotonic clock, in order."""
    return sorted(arrival.at for arrival in api.arrivals() if arrival.item_id in ids)


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """One API for the module; each test uses IDs of its own."""
    with running_api(tmp_path_factory.mktemp("api")) as one:
        yield one


@pytest.fixture(scope="module")
def host(start: Start, api: Api) -> FunctionHost:
    """A service in front of it, less patient than the shipped one."""
    return start(
        INGEST_SOURCE="http",
        INGEST_SOURCE_URL=api.url("host"),
        INGEST_SOURCE_HEADERS=json.dumps({"Authorization": SECRET}),
        INGEST_SOURCE_TIMEOUT_SECONDS="1.5",
        INGEST_MAX_ATTEMPTS="2",
        INGEST_MAX_RETRY_AFTER_SECONDS=str(LONGEST_PAUSE),
    )


def results(host: FunctionHost, ingestion_id: str) -> list[dict]:
    """All that was fetched."""
    return host.call("GET", f"/results/{ingestion_id}?limit=1000", headers={"Accept": "application/json"}).json


def test_items_are_fetched_at_once_and_kept(host: FunctionHost, api: Api) -> None:
    """The three requests of a batch are one call on the limit, and the next batch is an interval away."""
    one = host.post([101, 102, 103, 104])
    host.wait_for(one, "completed")
    assert [entry["id"] for entry in results(host, one)] == [101, 102, 103, 104]
    assert all("data" in entry for entry in results(host, one))
    first, second = starts(api, 101, 102, 103), starts(api, 104)
    assert (len(first), len(second)) == (3, 1)
    assert first[-1] - first[0] < INTERVAL / 2
    assert second[0] - first[0] > INTERVAL - 0.05, "more than a connection's latency below the interval"


@pytest.mark.parametrize(
    ("item_id", "behaviour"),
    [
        (201, {"status": 500}), (202, {"mode": "drop"}), (203, {"mode": "reset"}), (204, {"mode": "cut"}),
        (205, {"body": "<html>\u0000\u001b[31m no json"}), (206, {"delay_seconds": 60}), (207, {"mode": "drip"}),
        (208, {"status": 302, "headers": {"Location": "http://127.0.0.1:1/elsewhere"}}),
        (209, {"mode": "raw", "body": "garbage\r\n\r\n"}),
    ],
)  # fmt: skip
def test_a_failure_costs_an_attempt_and_then_the_batch(
    host: FunctionHost, api: Api, storage: Azurite, item_id: int, behaviour: dict
) -> None:
    """A retry takes a new slot; after the last the batch is failed, and its poison message names it."""
    api.behave(item_id, **behaviour)
    one = host.post([item_id])
    host.wait_for(one, "failed")
    (record,) = host.records(one)
    assert (record["status"], record["attempts"]) == ("failed", 2)
    assert record["error"].isprintable()
    attempts = starts(api, item_id)
    assert len(attempts) == 2
    assert attempts[1] - attempts[0] > INTERVAL - 0.05
    assert results(host, one) == [{"id": item_id, "error": record["error"]}]
    poison = [message for message in poison_of(storage) if message["ingestion_id"] == one]
    assert [(message["batch_id"], message["error"]) for message in poison] == [(record["batch_id"], record["error"])]


def poison_of(storage: Azurite) -> list[dict]:
    """All poison messages of the highest lane."""
    with QueueClient.from_connection_string(
        storage.connection_string, "ingest-high-poison", api_version=QUEUE_API_VERSION
    ) as queue:
        return [json.loads(message.content) for message in queue.peek_messages(max_messages=32)]


@pytest.mark.parametrize(
    ("item_id", "behaviour"),
    [
        (301, {"status": 404}),
        (302, {"status": 410}),
        (303, {"status": 422}),
        (304, {"size": 10_000_000}),
        (305, {"mode": "endless"}),
    ],
)
def test_a_final_answer_is_the_ids_result(host: FunctionHost, api: Api, item_id: int, behaviour: dict) -> None:
    """It burns no slots, and its neighbours keep their data; nothing too large is cut."""
    api.behave(item_id, **behaviour)
    one = host.post([100_000 + item_id, item_id])
    host.wait_for(one, "completed")
    good, bad = results(host, one)
    assert "data" in good
    assert bad["error"]
    assert len(starts(api, item_id)) == 1


def test_a_failed_batch_can_be_tried_again_as_a_new_ingestion(host: FunctionHost, api: Api) -> None:
    """Once the API has recovered; the first ingestion stays failed."""
    api.behave(401, status=500, times=2)
    one = host.post([401])
    host.wait_for(one, "failed")
    reply = host.call("POST", f"/ingestions/{one}/retry")
    assert (reply.status, reply.json["retry_of"]) == (202, one)
    assert host.call("POST", f"/ingestions/{one}/retry").json == reply.json
    host.wait_for(reply.json["ingestion_id"], "completed")
    assert host.status(one)["status"] == "failed"


@pytest.mark.parametrize(
    ("item_id", "status", "headers", "pause"),
    [(501, 429, {"Retry-After": "2"}, 2), (502, 503, {"Retry-After": "99999"}, LONGEST_PAUSE), (503, 429, {}, 1)],
)  # fmt: skip
def test_an_api_that_asks_to_wait_is_waited_for(
    host: FunctionHost, api: Api, item_id: int, status: int, headers: dict, pause: float
) -> None:
    """No lane runs meanwhile, no attempt is spent, and status and health say so."""
    api.behave(item_id, status=status, headers=headers, times=1)
    one = host.post([item_id])
    wait_until(
        lambda: (host.status(one)["in_flight"] or {}).get("held_until"), seconds=30, what="the API is waited for"
    )
    flight = host.status(one)["in_flight"]
    assert str(status) in flight["error"]
    if pause > INTERVAL:
        health = host.call("GET", "/health")
        assert health.status == 200
        assert str(status) in health.json["paused"]
    two = host.post([item_id + 50], "LOW")
    host.wait_for(two, "completed")
    assert host.records(one)[0]["attempts"] == 1
    first, second, other = *starts(api, item_id), *starts(api, item_id + 50)
    assert second - first > pause - 0.05
    assert other > second


def test_an_outage_of_the_api_fails_nothing(host: FunctionHost, api: Api) -> None:
    """Nobody listens at its address: the batch waits, as long as it takes, and no attempt is spent."""
    api.stop()
    one = host.post([601])
    wait_until(lambda: (host.status(one)["in_flight"] or {}).get("held_until"), seconds=60, what="the API is missed")
    flight = host.status(one)["in_flight"]
    assert flight["attempts"] == 0
    wait_until(lambda: host.status(one)["in_flight"] != flight, seconds=60, what="the API is tried again")
    api.start()
    host.wait_for(one, "completed")
    assert host.records(one)[0]["attempts"] == 1


def test_no_secret_reaches_the_log(host: FunctionHost) -> None:
    """Not the headers that authorise us, nor control characters that an answer holds."""
    log = host.log.read_text(errors="replace")
    assert "batch." in log
    assert SECRET not in log
    assert "\x1b[31m no json" not in log


def test_starts_stay_apart_whatever_the_api_does(host: FunctionHost, api: Api) -> None:
    """All that these tests have asked of the API, seen from the API: batches are an interval apart."""
    assert host.kind
    everything = starts(api, *range(100, 1000), *range(100_100, 101_000))
    groups = [everything[0]]
    for earlier, later in pairwise(everything):
        if later - earlier > INTERVAL / 2:
            groups.append(later)
    assert len(groups) > 20
    assert min(later - earlier for earlier, later in pairwise(groups)) > INTERVAL - 0.05
