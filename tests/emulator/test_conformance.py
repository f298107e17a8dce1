"""The emulator answers as the recorded host did, except where its README's table says otherwise."""

import contextlib
import http.client
import io
import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any, cast

import pytest

from devtools.azurite import ROOT
from devtools.child import wait_until
from tests.emulator.emulated import RECORDED, Emulator, emulator, recorded_app

ANSWERS: dict[str, dict[str, Any]] = json.loads((RECORDED / "answers.json").read_text(encoding="utf-8"))
FRAMING = {"server", "date", "content-length", "transfer-encoding", "connection"}
# The web server answers malformed HTTP, not the host. Any error status is enough.
MALFORMED = {"bad request line", "no host header", "negative length"}


def differences() -> set[str]:
    """Return the questions for which the README says that the emulator's answer differs."""
    readme = (ROOT / "emulator" / "README.md").read_text(encoding="utf-8")
    table = readme.partition("## Recorded answers that differ")[2].partition("\n## ")[0]
    return set(re.findall(r"^\| `([^`]+)` \|", table, re.MULTILINE))


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """Serve the recorded app, without the variables of this machine that its answers would show."""
    empty = {"AzureWebJobsStorage": "", "FUNCTIONS_WORKER_RUNTIME": "", "AZURE_FUNCTIONS_ENVIRONMENT": ""}
    with emulator(recorded_app(tmp_path_factory.mktemp("conformance")), env=empty) as running:
        yield running


@pytest.fixture(scope="module")
def answers(host: Emulator) -> dict[str, dict[str, Any]]:
    """Ask all questions once, with the program that was used with the real host."""
    ask = [sys.executable, str(RECORDED / "ask.py"), f"http://127.0.0.1:{host.port}"]
    done = subprocess.run(ask, capture_output=True, timeout=100, check=True)
    return cast("dict[str, dict[str, Any]]", json.loads(done.stdout))


class FakeSocket:
    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, _mode: str) -> io.BytesIO:
        return io.BytesIO(self._data)


def answered(answer: dict[str, Any]) -> dict[str, Any]:
    """Return an answer in the usual form, even if it is the raw bytes of a request written by hand."""
    if "received" not in answer:
        return answer
    response = http.client.HTTPResponse(cast("Any", FakeSocket(answer["received"].encode("latin-1"))))
    response.begin()
    headers = [[name, value] for name, value in response.getheaders()]
    body = {"text": response.read().decode()}
    return {"status": response.status, "reason": response.reason, "headers": headers, "body": body}


def essence(answer: dict[str, Any], names: dict[str, str]) -> object:
    """Return the parts of an answer that are compared: status, reason, body, and the headers without framing."""
    answer = answered(answer)
    body = dict(answer["body"])
    if "text" in body:
        for name, placeholder in names.items():
            body["text"] = body["text"].replace(name, placeholder)
        with contextlib.suppress(ValueError):
            body["text"] = json.loads(body["text"])
    headers = sorted(header for header in answer["headers"] if header[0].lower() not in FRAMING)
    return answer["status"], answer["reason"], headers, body


def test_every_recorded_question_is_asked(answers: dict[str, dict[str, Any]]) -> None:
    """The recorded answers are those of the program's questions, no more and no fewer."""
    assert list(answers) == list(ANSWERS)


def test_the_table_names_recorded_questions() -> None:
    """A row about another question could be wrong, and no test would notice."""
    assert differences() <= set(ANSWERS)


@pytest.mark.parametrize("question", ANSWERS)
def test_a_recorded_question_has_the_hosts_answer(
    question: str, answers: dict[str, dict[str, Any]], host: Emulator
) -> None:
    """The answer differs from the recorded one if the table says so, and only then."""
    names = {f":{host.port}": ":7071", str(host.app): "<app>", str(host.temporary): "<tmp>"}
    actual, recorded = answers[question]["answered"], ANSWERS[question]["answered"]
    if question in MALFORMED:
        assert 400 <= answered(actual)["status"] < 500
        assert "error" not in actual, "the connection stayed open"
        return
    same = essence(actual, names) == essence(recorded, {})
    assert same == (question not in differences()), (essence(actual, names), essence(recorded, {}))


def test_timers_run_by_hand_as_often_as_they_are_asked_to(answers: dict[str, dict[str, Any]], host: Emulator) -> None:
    """A disabled timer also runs by hand, but not by its schedule."""
    assert answers

    def runs() -> Counter[str]:
        return Counter(json.loads(line)["name"] for line in host.ask("GET", "/api/ticks")[1].splitlines())

    expected = {"on_startup": 1, "manual": 3, "switched_off": 1}
    wait_until(lambda: runs().items() >= expected.items() and runs()["fast"], seconds=10, what=f"{expected} have run")


def test_synchronous_functions_run_side_by_side(host: Emulator) -> None:
    """Each runs on its own thread, while asynchronous functions run on the event loop."""
    paths = ["/api/sleep_sync/700"] * 2 + ["/api/sleep_async/700"] * 2
    code = "import sys, urllib.request as r; print(r.urlopen(sys.argv[1]).read().decode())"
    asking = [
        subprocess.Popen([sys.executable, "-c", code, f"http://127.0.0.1:{host.port}{path}"], stdout=subprocess.PIPE)
        for path in paths
    ]
    spans = [json.loads(process.communicate(timeout=30)[0]) for process in asking]
    assert max(span["started"] for span in spans) < min(span["ended"] for span in spans)
    assert len({span["thread"] for span in spans}) == 3
