"""The service in front of a real HTTP API that delays, fails, asks to wait, and sends what it should not."""

import json
from collections.abc import Iterator
from itertools import pairwise

import pytest
from azure.storage.queue import QueueClient

from devtools.azurite import Azurite
from devtools.child import wait_until
from ingest_core.storage.azure import QUEUE_API_VERSION
from tests.e2e.conftest import INTERVAL, Start
from tests.e2e.limit import JITTER_SECONDS, gaps
from tests.soak.api import Api, running_api
from tests.soak.verdict import CLOCK_SLEW
from tests.support.hosts import FunctionHost

SECRET = "Bearer not-for-logs"  # noqa: S105 # made up
LONGEST_PAUSE = 3
ANSWER_SECONDS = 0.45
"""Three answers, one after the other, would come in time too."""


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
    for item_id in (101, 102, 103):
        api.behave(item_id, delay_seconds=ANSWER_SECONDS)
    one = host.post([101, 102, 103, 104])
    host.wait_for(one, "completed")
    assert [entry["id"] for entry in results(host, one)] == [101, 102, 103, 104]
    assert all("data" in entry for entry in results(host, one))
    first, second = starts(api, 101, 102, 103), starts(api, 104)
    assert (len(first), len(second)) == (3, 1)
    assert first[-1] - first[0] < ANSWER_SECONDS, "one of them was sent after another had been answered"
    assert gaps(host.records(one))[0] >= INTERVAL - CLOCK_SLEW
    assert second[0] - first[0] >= INTERVAL - JITTER_SECONDS


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
    """Another attempt takes a new slot; after the last the batch is failed, and its poison message names it."""
    host.wait_for(host.post([100_000 + item_id]), "completed")  # so that the API is not taken to be down
    api.behave(item_id, **behaviour)
    one = host.post([item_id])
    host.wait_for(one, "failed")
    (record,) = host.records(one)
    assert (record["status"], record["attempts"]) == ("failed", 2)
    assert record["error"].isprintable()
    attempts = starts(api, item_id)
    assert len(attempts) == 2
    assert attempts[1] - attempts[0] >= INTERVAL - JITTER_SECONDS
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
    host.wait_for(host.post([100_401]), "completed")  # so that the API is not taken to be down
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
    api.behave(item_id, status=status, headers=headers)
    one = host.post([item_id], "LOW")

    def told() -> bool:
        health = host.call("GET", "/health")
        waits = [str(status) in (flight["error"] or "") for flight in host.status(one)["in_flight"]]
        return any(waits) and health.status == 200 and bool(host.call("GET", "/lanes").json["throttled"])

    wait_until(told, seconds=60, what="the status and the lanes say that the API asked to wait")
    two = host.post([item_id + 50], "HIGH")
    api.behave(item_id)
    host.wait_for(one, "completed")
    host.wait_for(two, "completed")
    assert host.records(one)[0]["attempts"] == 1
    *refused, _ = starts(api, item_id)
    for at in refused:
        following = min(other for other in starts(api, item_id, item_id + 50) if other > at)
        assert following - at >= pause, "it was counted from the answer, which came later"


def test_an_outage_of_the_api_fails_nothing(host: FunctionHost, api: Api) -> None:
    """Nobody listens at its address: the batch waits, as long as it takes, and no attempt is spent."""
    api.stop()
    one = host.post([601])
    seen: set[str] = set()

    def tried_twice() -> bool:
        waiting = [flight for flight in host.status(one)["in_flight"] if not flight["running"]]
        seen.update(flight["triggered_at"] for flight in waiting)
        assert all(flight["attempts"] == 0 for flight in waiting)
        return len(seen) == 2

    wait_until(tried_twice, seconds=60, what="the API is missed, and again")
    api.start()
    host.wait_for(one, "completed")
    assert host.records(one)[0]["attempts"] == 1


def test_no_secret_reaches_the_log(host: FunctionHost, api: Api) -> None:
    """Not the headers that authorise us, which the API does get, nor control characters that an answer holds."""
    api.behave(801, body="<html>\x1b[31m no json", times=1)
    one = host.post([801])
    wait_until(lambda: f"ingestion.completed ingestion_id={one}" in host.output(), seconds=60, what="its end is logged")
    log = host.output()
    assert "batch.attempt_failed" in log
    assert [arrival.authorization for arrival in api.arrivals() if arrival.item_id == 801] == [SECRET, SECRET]
    assert SECRET not in log
    assert "\x1b[31m no json" not in log


def test_starts_stay_apart_whatever_the_api_does(host: FunctionHost, api: Api) -> None:
    """It takes its time, fails, and asks to wait for less than an interval; and ticks come at any moment."""
    api.behave(901, delay_seconds=ANSWER_SECONDS)
    api.behave(904, status=500, times=1)
    api.behave(911, status=429, headers={"Retry-After": "0"}, times=1)
    ingestions = [host.post([901, 902, 903, 904]), host.post([911, 912, 913, 914], "LOW")]

    def completed() -> bool:
        host.run("dispatch")
        return all(host.status(one)["status"] == "completed" for one in ingestions)

    wait_until(completed, seconds=60, what="all is completed")
    records = host.records(*ingestions)
    assert {record["ids"][0] for record in records} == {901, 904, 911, 914}
    assert min(gaps(records)) >= INTERVAL - CLOCK_SLEW
    attempts = starts(api, 901, 904, 911, 914)
    assert len(attempts) == 6
    assert min(later - earlier for earlier, later in pairwise(attempts)) >= INTERVAL - JITTER_SECONDS
