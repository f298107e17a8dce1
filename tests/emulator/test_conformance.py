"""The emulator answers as the recorded host did, but for what its README's table says."""

import contextlib
import http.client
import io
import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from tests.emulator.emulated import RECORDED, Emulator, emulator, recorded_app
from tests.support.processes import ROOT, wait_until

ANSWERS: dict[str, dict[str, Any]] = json.loads((RECORDED / "answers.json").read_text(encoding="utf-8"))
FRAMING = {"server", "date", "content-length", "transfer-encoding", "connection"}
# Malformed HTTP is the web server's to answer, not the host's: a clean refusal is enough.
MALFORMED = {"bad request line", "no host header", "negative length"}


def differences() -> set[str]:
    """The questions of which the README says that they are answered otherwise."""
    readme = (ROOT / "emulator" / "README.md").read_text(encoding="utf-8")
    table = readme.partition("## Recorded answers that differ")[2].partition("\n## ")[0]
    return set(re.findall(r"^\| `([^`]+)` \|", table, re.MULTILINE))


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """The recorded app, served; the questions find the variables of the machine out of the way."""
    empty = {"AzureWebJobsStorage": "", "FUNCTIONS_WORKER_RUNTIME": "", "AZURE_FUNCTIONS_ENVIRONMENT": ""}
    with emulator(recorded_app(tmp_path_factory.mktemp("conformance")), env=empty) as one:
        yield one


@pytest.fixture(scope="module")
def answers(host: Emulator) -> dict[str, dict[str, Any]]:
    """All questions, asked once by the program that asked the real host."""
    ask = [sys.executable, str(RECORDED / "ask.py"), f"http://127.0.0.1:{host.port}"]
    asked = subprocess.run(ask, capture_output=True, timeout=100, check=True)
    return cast("dict[str, dict[str, Any]]", json.loads(asked.stdout))


class FakeSocket:
    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, _mode: str) -> io.BytesIO:
        return io.BytesIO(self._data)


def answered(answer: dict[str, Any]) -> dict[str, Any]:
    """Give an answer to a hand-written request the shape of the others."""
    if "received" not in answer:
        return answer
    response = http.client.HTTPResponse(cast("Any", FakeSocket(answer["received"].encode("latin-1"))))
    response.begin()
    headers = [[name, value] for name, value in response.getheaders()]
    body = {"text": response.read().decode()}
    return {"status": response.status, "reason": response.reason, "headers": headers, "body": body}


def essence(answer: dict[str, Any], names: dict[str, str]) -> object:
    """What counts: status, reason, the headers but for framing, the body."""
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
    """The program and its recorded answers belong together."""
    assert list(answers) == list(ANSWERS)


def test_the_table_names_recorded_questions() -> None:
    """A row about something else could never be found wrong."""
    assert differences() <= set(ANSWERS)


@pytest.mark.parametrize("question", ANSWERS)
def test_a_recorded_question(question: str, answers: dict[str, dict[str, Any]], host: Emulator) -> None:
    """The answer is the host's unless the table says otherwise, and then it is not."""
    names = {f":{host.port}": ":7071", str(host.app): "<app>", str(host.temporary): "<tmp>"}
    got, recorded = answers[question]["answered"], ANSWERS[question]["answered"]
    if question in MALFORMED:
        assert 400 <= answered(got)["status"] < 500
        assert "error" not in got, "the connection stayed open"
        return
    same = essence(got, names) == essence(recorded, {})
    assert same == (question not in differences()), (essence(got, names), essence(recorded, {}))


def test_timers_that_were_run_by_hand_ran(answers: dict[str, dict[str, Any]], host: Emulator) -> None:
    """As often as it was asked for, the one that is switched off too; the schedule runs only the others."""
    assert answers

    def runs() -> Counter[str]:
        return Counter(json.loads(line)["name"] for line in host.ask("GET", "/api/ticks")[1].splitlines())

    once = {"on_startup": 1, "manual": 3, "switched_off": 1}
    wait_until(lambda: runs().items() >= once.items() and runs()["fast"], seconds=10, what=f"{once} have run")


def test_synchronous_functions_run_side_by_side(host: Emulator) -> None:
    """Each on a thread of its own, beside the asynchronous ones on the event loop."""
    paths = ["/api/sleep_sync/700"] * 2 + ["/api/sleep_async/700"] * 2
    code = "import sys, urllib.request as r; print(r.urlopen(sys.argv[1]).read().decode())"
    asking = [
        subprocess.Popen([sys.executable, "-c", code, f"http://127.0.0.1:{host.port}{path}"], stdout=subprocess.PIPE)
        for path in paths
    ]
    spans = [json.loads(one.communicate(timeout=30)[0]) for one in asking]
    assert max(one["started"] for one in spans) < min(one["ended"] for one in spans)
    assert len({one["thread"] for one in spans}) == 3


def test_the_recorded_files_are_described() -> None:
    """A clone says where they come from."""
    assert "4.1037.0" in Path(RECORDED / "README.md").read_text(encoding="utf-8")
