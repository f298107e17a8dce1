"""What people do with the command line, against `service_url`: true of every service that keeps the contract."""

import json
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Run

LIST = b"customer,name\r\n11,Ann\r\n12,Bob\r\n13,Cem\r\n14,Dan\r\n"


@pytest.fixture
def waiting(run: Run) -> Iterator[str]:
    """An ingestion that waits in a paused lane."""
    assert run("pause", "LOW").returncode == 0
    sent = run("submit", "-", "--priority", "LOW", "--label", "nightly", stdin=LIST)
    assert sent.returncode == 0, sent.stderr
    yield sent.stdout.decode().strip()
    run("resume", "LOW")


def test_submit_prints_the_id_alone_and_tells_people_the_rest(run: Run) -> None:
    """So `ID=$(ingest.py submit …)` works."""
    sent = run("submit", "-", "--priority", "high", stdin=LIST)
    assert sent.returncode == 0
    assert sent.stdout.decode() == f"{uuid.UUID(sent.stdout.decode().strip())}\n"
    assert b"Read 4 IDs from stdin; line 1 ('customer') was taken for a header." in sent.stderr
    assert b"Idempotency-Key: " in sent.stderr
    assert b"\r" not in sent.stderr.replace(b"\r\n", b""), "a bar was drawn although stderr is no terminal"


def test_submit_waits_and_results_are_written(run: Run, tmp_path: Path) -> None:
    """The whole way of a list."""
    source, target = tmp_path / "list.csv", tmp_path / "out.ndjson"
    source.write_bytes(LIST)
    sent = run("submit", str(source), "--priority", "HIGH", "--wait", "--timeout", "50")
    assert (sent.returncode, sent.stderr.decode().splitlines()[-1]) == (0, "completed, 2 batches: 2 completed")
    ingestion_id = sent.stdout.decode().strip()
    assert run("wait", ingestion_id).returncode == 0
    got = run("results", ingestion_id, "-o", str(target))
    assert (got.returncode, got.stdout) == (0, b"")
    assert [json.loads(line)["id"] for line in target.read_bytes().splitlines()] == [11, 12, 13, 14]
    assert list(tmp_path.glob("*.part")) == []
    assert run("results", ingestion_id).stdout == target.read_bytes()


def test_the_same_key_sends_a_list_once(run: Run) -> None:
    """So a command can be repeated when nobody knows whether it worked."""
    words = ("submit", "-", "--priority", "HIGH", "--idempotency-key", str(uuid.uuid4()))
    assert run(*words, stdin=LIST).stdout == run(*words, stdin=LIST).stdout


def test_status_is_a_table_and_json_on_request(run: Run, waiting: str) -> None:
    """People and programs both can read it."""
    shown = run("status", waiting)
    rows = dict(line.split(maxsplit=1) for line in shown.stdout.decode().splitlines())
    assert (rows["ingestion"], rows["priority"], rows["label"]) == (waiting, "LOW", "nightly")
    assert rows["batches"].startswith("2 batches: ")
    assert json.loads(run("status", waiting, "--json").stdout)["ingestion_id"] == waiting


def test_list_shows_the_newest_first_and_follows_pages(run: Run, waiting: str) -> None:
    """A page says how to get the next one."""
    newer = run("submit", "-", "--priority", "LOW", stdin=b"1").stdout.decode().strip()
    first = run("list", "--limit", "1")
    assert newer in first.stdout.decode()
    assert waiting not in first.stdout.decode()
    assert b"--cursor" in first.stderr
    shown = run("list", "--all", "--limit", "1", "--json")
    ids = [one["ingestion_id"] for one in json.loads(shown.stdout)["ingestions"]]
    assert ids.index(newer) < ids.index(waiting)


def test_a_waiting_list_is_moved_cancelled_and_sent_again(run: Run, waiting: str) -> None:
    """Everything that steers."""
    moved = run("priority", waiting, "low", "--json")
    assert json.loads(moved.stdout)["priority"] == "LOW"
    cancelled = run("cancel", waiting, "--reason", "the wrong file")
    assert cancelled.returncode == 0
    assert "cancelled" in cancelled.stdout.decode()
    ended = run("wait", waiting)
    assert ended.returncode == 3
    assert f"retry {waiting}" in ended.stderr.decode()
    again = run("retry", waiting)
    assert (again.returncode, uuid.UUID(again.stdout.decode().strip()) != uuid.UUID(waiting)) == (0, True)


def test_pause_and_resume_show_the_lanes(run: Run) -> None:
    """A pause shows its reason and its end."""
    paused = run("pause", "medium", "--reason", "the API is being moved", "--until", "2990-01-31T18:00:00+01:00")
    assert paused.returncode == 0
    (row,) = (line for line in paused.stdout.decode().splitlines() if line.startswith("MEDIUM"))
    assert "the API is being moved" in row
    assert "until 2990-01-31" in row
    resumed = json.loads(run("resume", "MEDIUM", "--json").stdout)
    assert resumed["lanes"]["MEDIUM"]["paused"] is None


def test_results_of_an_unfinished_list_are_never_taken_for_all(run: Run, waiting: str) -> None:
    """They end with 124 and say how far they got."""
    got = run("results", waiting)
    assert got.returncode == 124
    assert b"of 4 IDs so far: the ingestion has not ended" in got.stderr


def test_a_line_that_the_api_refuses_is_named(run: Run) -> None:
    """Its pointer becomes the line of the file."""
    sent = run("submit", "-", "--priority", "LOW", stdin=b"id\n\n5\n0\n6\n1000000008\n")
    assert (sent.returncode, sent.stdout) == (4, b"")
    assert b"line 4 (ID 0): Must be" in sent.stderr
    assert b"line 6 (ID 1000000008): Must be" in sent.stderr


def test_a_list_of_100_000_ids_is_sent(run: Run) -> None:
    """The longest one."""
    longest = "\n".join(map(str, range(1, 100_001))).encode()
    assert run("pause", "LOW").returncode == 0
    sent = run("submit", "-", "--priority", "LOW", stdin=longest)
    assert sent.returncode == 0, sent.stderr
    assert json.loads(run("status", sent.stdout.decode().strip(), "--json").stdout)["counts"]["ids"] == 100_000
    assert run("cancel", sent.stdout.decode().strip()).returncode == 0
    assert run("resume", "LOW").returncode == 0
