"""`dev.py start` with the real service: accepted lists and batches in flight survive a Ctrl-C."""

import json
import urllib.request
from pathlib import Path
from typing import Any

from devtools.child import wait_until
from tests.dev.checkout import make_checkout
from tests.dev.run import Run, running

FAST = {
    "INGEST_SCHEDULE": "*/1 * * * * *",
    "INGEST_INTERVAL_SECONDS": "1",
    "INGEST_SOURCE_DELAY_SECONDS": "1.5",
}

LEASE_SECONDS = 25
"""The source timeout and 15 s."""


def call(run: Run, path: str, body: object = None) -> Any:
    """GET, or POST if there is a body; return the answer's JSON document."""
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(f"http://127.0.0.1:{run.port}{path}", data, timeout=30) as answer:
        return json.load(answer)


def test_a_second_run_finishes_the_batches_of_the_first(tmp_path: Path) -> None:
    """Ctrl-C removes the mark of a running batch, so the next run starts it again before its lease has ended."""
    checkout = make_checkout(tmp_path / "checkout")
    with running(checkout, env=FAST) as first:
        accepted = call(first, "/ingest", {"ids": [1, 2, 3, 4, 5], "priority": "HIGH"})["ingestion_id"]
        status = f"/status/{accepted}"
        wait_until(lambda: call(first, status)["in_flight"], seconds=60, what="a batch in flight")
        first.ctrl_c()
        assert first.wait() == 0
        assert first.everything_has_ended()
    with running(checkout, env=FAST) as second:
        wait_until(
            lambda: call(second, status)["status"] == "completed", seconds=LEASE_SECONDS - 5, what="all is completed"
        )
        first_batch, second_batch = call(second, f"{status}/batches")["batches"]
        assert first_batch["attempts"] in (1, 2)  # the start counts if it was sent
        assert second_batch["attempts"] <= first_batch["attempts"]
