"""Two hosts on one storage are steered: what is asked of one holds for the other."""

import time

import pytest

from devtools.child import wait_until
from tests.e2e.conftest import INTERVAL, Start
from tests.support.hosts import FunctionHost


@pytest.fixture(scope="module")
def hosts(start: Start) -> tuple[FunctionHost, FunctionHost]:
    """Two hosts that both tick."""
    return start(INGEST_SOURCE_DELAY_SECONDS="0.5"), start(INGEST_SOURCE_DELAY_SECONDS="0.5")


def started(host: FunctionHost, ingestion_id: str) -> int:
    """How many batches of an ingestion have ever started."""
    counts = host.call("GET", f"/ingestions/{ingestion_id}").json["counts"]
    return int(counts["batches"] - counts["yet_to_start"] - counts["cancelled"])


def test_what_one_host_is_asked_holds_for_the_other(hosts: tuple[FunctionHost, FunctionHost]) -> None:
    """A pause, a resume, a change of priority and a cancel, each through another host than the one before."""
    one, two = hosts
    long = one.post(range(1, 601), "LOW")
    wait_until(lambda: started(two, long) >= 2, seconds=30, what="the list is under way")

    seen = two.call("PUT", "/lanes/LOW/pause", {"reason": "a test"})
    assert (seen.status, seen.json["lanes"]["LOW"]["paused"]["reason"]) == (200, "a test")
    before = started(one, long)
    behind = two.post([900], "LOW")
    time.sleep(3 * INTERVAL)
    assert started(two, long) == before
    assert one.call("GET", f"/ingestions/{long}").json["forecast"] is None
    assert one.call("GET", "/health").json["paused_lanes"] == ["LOW"]

    assert one.call("DELETE", "/lanes/LOW/pause").json["lanes"]["LOW"]["paused"] is None
    moved = two.call("PATCH", f"/ingestions/{behind}", {"priority": "HIGH"})
    assert (moved.status, moved.json["priority"], moved.json["forecast"]["ingestions_ahead"]) == (200, "HIGH", 0)
    two.wait_for(behind, "completed", seconds=30)
    wait_until(lambda: started(one, long) > before, seconds=30, what="the list goes on")

    assert one.call("POST", f"/ingestions/{long}/cancel", {"reason": "sent twice"}).status in (200, 202)
    ended = two.wait_for(long, "cancelled", seconds=30)
    time.sleep(2 * INTERVAL)
    assert one.status(long)["counts"] == ended["counts"]
    counts = ended["counts"]
    assert counts["completed"] + counts["cancelled"] == counts["batches"] == 200
    results = two.call("GET", f"/results/{long}").body.splitlines()
    assert len(results) == 3 * counts["completed"]
    assert all(b'"data"' in line for line in results)


def test_the_hosts_have_said_nothing_of_ticks_and_polls(hosts: tuple[FunctionHost, FunctionHost]) -> None:
    """What people did, what became of it, and a state a minute at most."""
    for host in hosts:
        lines = [line for line in host.output().splitlines() if "service.state" in line]
        assert len(lines) <= 2
        assert "GET /" not in host.output()
