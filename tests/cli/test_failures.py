"""What the command line does when the service does not answer as it should, played by scripted answers."""

import os
import re
import signal
import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from cli import ingest
from devtools.child import wait_until
from tests.cli.api import ContractApi, Received, Scripted, problem
from tests.cli.conftest import PROGRAM, Run, environment

SUBMIT = ("submit", "-", "--priority", "LOW")
LATER = problem(503, "Storage cannot be reached", "Try again later.", "storage-unavailable")
UNKNOWN_ID = "2950cdc2-dbd8-4a2f-a260-88583d68926e"


class FakeClock(ingest.Clock):
    """Nobody waits; the sleeps are written down."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.seconds

    def utc(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self.seconds)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.seconds += seconds


def run_here(url: str, clock: FakeClock, *words: str) -> int:
    """Run the program in this process, on a clock of the test's."""
    return ingest.main(words, {"INGEST_URL": url}, clock)


def posts(api: ContractApi) -> list[str]:
    """The keys of the lists that were sent, in order."""
    return [one.headers["idempotency-key"] for one in api.requests if one.path == "/ingest"]


def list_file(tmp_path: Path, count: int = 4) -> str:
    """A file of IDs."""
    path = tmp_path / "list.txt"
    path.write_text("".join(f"{one}\n" for one in range(1, count + 1)))
    return str(path)


@pytest.mark.parametrize(
    "trouble", [Scripted(lost=True), Scripted(lost=True, accept=True), Scripted(cut=True, body={"x": "y" * 99}), LATER]
)
def test_a_lost_answer_is_asked_for_again_with_the_same_key(
    api: ContractApi, api_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], trouble: Scripted
) -> None:
    """So the list is accepted once."""
    api.script("POST", "/ingest", trouble, trouble)
    assert run_here(api_url, FakeClock(), "submit", list_file(tmp_path), "--priority", "LOW") == 0
    keys = posts(api)
    assert len(keys) == 3
    assert len({*keys, capsys.readouterr().err.split("Idempotency-Key: ")[1].split()[0]}) == 1
    assert len(api.lists) == 1


def test_the_apis_errors_are_shown_at_their_places(
    api: ContractApi, api_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An empty label is sent too, so that the API can refuse it."""
    errors = [{"pointer": "/label", "detail": "Must be 1 to 100 characters."}]
    body = {"title": "Request is not valid", "detail": "Fix the fields listed in `errors`.", "errors": errors}
    api.script("POST", "/ingest", Scripted(status=422, body=body))
    assert run_here(api_url, FakeClock(), "submit", list_file(tmp_path), "--priority", "LOW", "--label", "") == 4
    assert api.requests[-1].body["label"] == ""
    error = capsys.readouterr().err
    assert "\n  label: Must be 1 to 100 characters." in error
    assert "`errors`" not in error


def test_retry_after_is_obeyed_and_silence_backs_off(api: ContractApi, api_url: str) -> None:
    """A number, a date, and nothing at all."""
    date = {"Date": "Fri, 27 Nov 2026 10:00:00 GMT", "Retry-After": "Fri, 27 Nov 2026 10:00:09 GMT"}
    answers = [Scripted(status=503, headers={"Retry-After": "7"}), Scripted(status=503, headers=date)]
    api.script("GET", "/ingestions", *answers, *[Scripted(status=503)] * 2)
    clock = FakeClock()
    assert run_here(api_url, clock, "list") == 0
    assert clock.slept == [7, 9, 2, 4]


def test_a_call_gives_up_when_the_time_is_up(
    api: ContractApi, api_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With 124, what the service said last, and how to repeat without sending twice."""
    api.script("POST", "/ingest", *[LATER] * 99)
    clock = FakeClock()
    assert run_here(api_url, clock, "submit", list_file(tmp_path), "--priority", "LOW", "--timeout", "20") == 124
    assert 10 <= clock.seconds <= 20
    error = capsys.readouterr().err
    assert "Storage cannot be reached" in error
    assert f"--idempotency-key {posts(api)[0]}" in error


def test_a_service_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """After a minute of attempts."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
    clock = FakeClock()
    assert run_here(url, clock, "list") == 124
    assert 50 <= clock.seconds <= 60
    error = capsys.readouterr().err
    assert f"No answer from {url}: " in error
    assert "Is the service running, and is INGEST_URL right?" in error


@pytest.fixture
def sent(api: ContractApi) -> str:
    """An ingestion of two batches that the service has accepted."""
    body = {"ids": [1, 2, 3, 4], "priority": "LOW"}
    accepted = api.answer(Received(method="POST", path="/ingest", headers={"idempotency-key": "k"}, body=body))
    assert isinstance(accepted.body, dict)
    return str(accepted.body["ingestion_id"])


def state(api: ContractApi, ingestion_id: str, **changes: object) -> Scripted:
    """Its summary with some fields changed."""
    return Scripted(body=api.summary(api.lists[ingestion_id]) | changes)


def test_waiting_survives_an_outage_of_hours(api: ContractApi, api_url: str, sent: str) -> None:
    """Without --timeout, once the service has answered."""
    api.script("GET", f"/ingestions/{sent}", state(api, sent), *[LATER] * 500)
    clock = FakeClock()
    assert run_here(api_url, clock, "wait", sent) == 0
    assert clock.seconds > 3600


def test_wait_ends_at_its_timeout(
    api: ContractApi, api_url: str, sent: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A list that does not move is left alone then, and the message says how to go on."""
    api.stands_still = True
    clock = FakeClock()
    assert run_here(api_url, clock, "wait", sent, "--timeout", "100") == 124
    assert 100 <= clock.seconds < 102
    error = capsys.readouterr().err
    assert "The time is up: 2 batches: 2 yet to start" in error
    assert f"wait {sent}" in error


def test_an_unchanged_summary_is_not_sent_again(api: ContractApi, api_url: str, sent: str) -> None:
    """A poll names the ETag that it has, and understands 304."""
    first = Scripted(body=api.summary(api.lists[sent]), headers={"ETag": '"a"', "Retry-After": "9"})
    api.script("GET", f"/ingestions/{sent}", first, *[Scripted(status=304, body=b"")] * 2)
    clock = FakeClock()
    assert run_here(api_url, clock, "wait", sent) == 0
    assert [one.headers.get("if-none-match") for one in api.requests][:4] == [None, '"a"', '"a"', '"a"']
    assert clock.seconds >= 27


def test_failed_batches_end_with_1(
    api: ContractApi, api_url: str, sent: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both where people wait and where they fetch; the message says how to repeat them."""
    counts = {"ids": 4, "errors": 1, "batches": 2, "yet_to_start": 0, "triggered": 0, "completed": 1, "failed": 1}
    ended = state(api, sent, status="failed", counts=counts)
    api.script("GET", f"/ingestions/{sent}", ended, ended)
    assert run_here(api_url, FakeClock(), "wait", sent) == 1
    assert run_here(api_url, FakeClock(), "results", sent) == 1
    error = capsys.readouterr().err
    assert "failed, 2 batches: 1 completed, 1 failed; 1 of 4 IDs with an error" in error
    assert f"retry {sent}" in error


def test_results_that_break_off_leave_the_old_file(api: ContractApi, api_url: str, sent: str, tmp_path: Path) -> None:
    """A page that is cut is fetched again; if the pages cannot be had, the file under its name is not touched."""
    target = tmp_path / "out.ndjson"
    api.lists[sent]["ended"] = 2
    api.script("GET", f"/results/{sent}", Scripted(body=b'{"id": 1}\n' * 9, cut=True))
    assert run_here(api_url, FakeClock(), "results", sent, "-o", str(target)) == 0
    whole = target.read_bytes()
    assert whole.count(b"\n") == 4
    more = Scripted(body=b'{"id": 1}\n', headers={"Link": '</results/x?cursor=1>; rel="next"'})
    api.script("GET", f"/results/{sent}", more, Scripted(status=500, body=b"<h1>no"))
    assert run_here(api_url, FakeClock(), "results", sent, "-o", str(target)) == 4
    assert target.read_bytes() == whole


def test_a_page_that_points_to_itself_is_no_endless_loop(api: ContractApi, api_url: str, sent: str) -> None:
    """Neither for results nor for lists."""
    api.lists[sent]["ended"] = 2
    page = Scripted(body=b'{"id": 1}\n', headers={"Link": '</results/x?cursor=1>; rel="next"'})
    api.script("GET", f"/results/{sent}", *[page] * 5)
    assert run_here(api_url, FakeClock(), "results", sent) == 4
    page = Scripted(body={"ingestions": []}, headers={"Link": '</ingestions?cursor=1>; rel="next"'})
    api.script("GET", "/ingestions", *[page] * 5)
    assert run_here(api_url, FakeClock(), "list", "--all") == 4


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Scripted(status=401, body=b""), "Set INGEST_KEY"),
        (Scripted(status=404, body=b""), "Is INGEST_URL right?"),
        (Scripted(status=302, headers={"Location": "http://evil.example/"}), "points to http://evil.example/"),
        (Scripted(status=200, body=b"<html>Sign in"), "not the service's JSON"),
        (Scripted(status=200, body={"status": "completed"}), "not the service's JSON"),
        (problem(409, "It has \x1b[31mended", "Nothing to do.", "ingestion-ended"), "409: It has  [31mended."),
    ],
)
def test_a_refusal_says_what_to_do(
    api: ContractApi, api_url: str, sent: str, capsys: pytest.CaptureFixture[str], answer: Scripted, words: str
) -> None:
    """It ends with 4, is not repeated, follows no redirect, and cannot steer the terminal."""
    api.script("GET", f"/ingestions/{sent}", answer)
    assert run_here(api_url, FakeClock(), "status", sent) == 4
    assert words in capsys.readouterr().err
    assert len(api.requests) == 1


def test_the_key_is_a_header_and_nothing_else(api: ContractApi, run_scripted: Run) -> None:
    """It never stands in an address."""
    assert run_scripted("list", env={"INGEST_KEY": "s3cret=="}).returncode == 0
    (one,) = api.requests
    assert (one.headers["x-functions-key"], "s3cret" in one.path) == ("s3cret==", False)


@pytest.mark.parametrize("url", ["ftp://x", "nonsense", "http://", "http://x/?code=k", "http://x:port", "http://[x"])
def test_a_wrong_address_is_a_usage_error(url: str) -> None:
    """Said at once, without a traceback."""
    assert run_here(url, FakeClock(), "list") == 2


def test_a_closed_pipe_is_no_error_message(api: ContractApi, api_url: str, sent: str) -> None:
    """As in `results … | head -1`."""
    api.lists[sent]["ended"] = 1
    api.script("GET", f"/results/{sent}", Scripted(body=b'{"id": 1}\n' * 1_000_000))
    with subprocess.Popen(
        [sys.executable, PROGRAM, "results", sent],
        env=environment(api_url), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout
        assert process.stderr
        assert process.stdout.readline() == b'{"id": 1}\n'
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


@pytest.mark.skipif(sys.platform == "win32", reason="a POSIX shell closes the streams")
@pytest.mark.parametrize("streams", [">&- 2>&- <&-", "2>/dev/full"])
def test_streams_that_are_closed_or_full_do_no_harm(
    api: ContractApi, api_url: str, sent: str, streams: str, tmp_path: Path
) -> None:
    """Some schedulers start programs like that; the data goes where it can go."""
    api.lists[sent]["ended"] = 2
    output = tmp_path / "all"
    command = f'"{sys.executable}" "{PROGRAM}" results {sent} -o "{output}" {streams}'
    done = subprocess.run(["sh", "-c", command], env=environment(api_url), timeout=60, check=False)
    assert (done.returncode, output.read_bytes().count(b"\n")) == (0, 4)


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_slow_reader_gets_every_line(api: ContractApi, api_url: str, sent: str, unbuffered: str) -> None:
    """Also with PYTHONUNBUFFERED, as in containers, where a write to a full pipe takes a part only."""
    api.lists[sent]["ended"] = 2
    body = b'{"id": 1}\n' * 1_000_000
    api.script("GET", f"/results/{sent}", Scripted(body=body))
    with subprocess.Popen(
        [sys.executable, PROGRAM, "results", sent],
        env=environment(api_url, {"PYTHONUNBUFFERED": unbuffered}), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        assert process.stdout
        pieces = [process.stdout.readline()]
        wait_until(lambda: len(api.requests) == 2, seconds=20, what="the page is fetched")
        pieces.append(process.stdout.read())
    assert b"".join(pieces) == body


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals to send")
def test_ctrl_c_stops_waiting_and_cancels_nothing(api: ContractApi, api_url: str, sent: str) -> None:
    """It says how to go on."""
    api.stands_still = True
    command = [sys.executable, PROGRAM, "wait", sent]
    with subprocess.Popen(command, env=environment(api_url), stderr=subprocess.PIPE) as process:
        wait_until(lambda: api.requests, seconds=20, what="it polls")
        process.send_signal(signal.SIGINT)
        assert process.stderr
        error = process.stderr.read().decode()
    assert process.returncode == 130
    assert "nothing is cancelled" in error
    assert f"wait {sent}" in error
    assert "Traceback" not in error
    assert {one.method for one in api.requests} == {"GET"}


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals")
def test_a_bar_with_the_time_left_is_drawn_on_a_terminal(api_url: str, sent: str) -> None:
    """And removed before the last line."""
    pty = pytest.importorskip("pty")
    leader, follower = pty.openpty()
    command = [sys.executable, PROGRAM, "wait", sent]
    process = subprocess.Popen(command, env=environment(api_url), stdout=subprocess.DEVNULL, stderr=follower)
    os.close(follower)
    pieces = []
    try:
        while piece := os.read(leader, 4096):
            pieces.append(piece)
    except OSError:  # Linux says "end" so
        pass
    finally:
        os.close(leader)
    assert process.wait(20) == 0
    text = b"".join(pieces).decode()
    assert re.search(r"\r\[############------------\] 1/2 batches, [0-9] s left at least", text)
    assert text.rsplit("\r", 2)[1].startswith("completed, 2 batches: 2 completed")


def test_the_time_left_is_counted_on_the_service_s_clock(
    api: ContractApi, api_url: str, sent: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A machine whose clock is an hour off shows the same."""
    there = datetime.now(UTC) + timedelta(hours=1)
    ends_at = (there + timedelta(minutes=20)).isoformat()
    forecast = {"ingestions_ahead": 1, "batches_ahead": 9, "starts_at": ends_at, "ends_at": ends_at}
    date = {"Date": format_datetime(there, usegmt=True)}
    shown = Scripted(body=api.summary(api.lists[sent]) | {"forecast": forecast}, headers=date)
    api.script("GET", f"/ingestions/{sent}", shown)
    assert run_here(api_url, FakeClock(), "status", sent) == 0
    assert re.search(r"^end .* at the earliest, in 20 min$", capsys.readouterr().out, re.MULTILINE)
