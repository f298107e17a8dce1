"""`dev.py start` with the real service: what was accepted, and what was in flight, outlives a Ctrl-C."""

import json
import urllib.request
from pathlib import Path
from typing import Any

from tests.dev.checkout import make_checkout
from tests.dev.run import Run, running
from tests.support.processes import wait_until

FAST = {
    "INGEST_SCHEDULE": "*/1 * * * * *",
    "INGEST_INTERVAL_SECONDS": "1",
    "INGEST_SOURCE_DELAY_SECONDS": "1.5",
}


def call(run: Run, path: str, body: object = None) -> Any:  # noqa: ANN401 - whatever the JSON is
    """GET, or POST the body; gives the answer's document."""
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(f"http://127.0.0.1:{run.port}{path}", data, timeout=30) as answer:
        return json.load(answer)


def test_the_second_run_goes_on_where_the_first_was_stopped(tmp_path: Path) -> None:
    """Ctrl-C while the first of two batches is in flight: it ends in its first attempt, the other in the second run."""
    checkout = make_checkout(tmp_path / "checkout")
    with running(checkout, env=FAST) as first:
        accepted = call(first, "/ingest", {"ids": [1, 2, 3, 4, 5], "priority": "HIGH"})["ingestion_id"]
        status = f"/status/{accepted}"
        wait_until(
            lambda: call(first, status)["batches"][0]["status"] == "triggered", seconds=60, what="a batch in flight"
        )
        first.ctrl_c()
        assert first.wait() == 0
        assert first.everything_has_ended()
    with running(checkout, env=FAST) as second:
        at_once = call(second, f"{status}/batches")["batches"][0]
        assert (at_once["status"], at_once["attempts"]) == ("completed", 1)
        wait_until(lambda: call(second, status)["status"] == "completed", seconds=60, what="all is completed")
        assert [batch["attempts"] for batch in call(second, f"{status}/batches")["batches"]] == [1, 1]
