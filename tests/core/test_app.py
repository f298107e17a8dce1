"""What the app does when something is wrong, and what it logs."""

import json
import logging
import re
from collections import UserDict
from datetime import UTC, datetime
from pathlib import Path

import pytest

from devtools.azurite import Azurite
from devtools.ports import free_ports
from ingest_core.api import handlers as api
from ingest_core.api.messages import Answer, Request
from ingest_core.app import App, Parts, assemble
from ingest_core.clock import SystemClock
from ingest_core.models import IngestRequest, Priority
from ingest_core.service.state import read_state
from ingest_core.settings import Settings
from ingest_core.source.simulated import SimulatedSource
from ingest_core.storage.memory import Account, MemoryStorage
from ingest_core.storage.stores import open_stores
from tests.support.callers import Desk
from tests.support.emptied import empty

BODY = b'{"ids": [1, 2, 3, 4], "priority": "HIGH"}'
ROOT = Path(__file__).resolve().parents[2]


def service_in_memory() -> Parts:
    """The service over storage in memory."""
    account = Account(now=lambda: datetime.now(UTC))
    clock = SystemClock()
    settings = Settings(interval=4.2)
    return assemble(settings, storage=MemoryStorage(account), source=SimulatedSource(clock=clock), clock=clock)


def problem(answer: Answer, status: int) -> dict:
    """The fields of an answer in the form of RFC 9457."""
    assert (answer.status, answer.content_type) == (status, "application/problem+json")
    fields = json.loads(answer.body)
    assert fields["status"] == status
    assert fields["title"]
    assert fields["detail"]
    return fields


async def test_storage_that_cannot_be_reached_is_503_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    """Every call says so, with Retry-After; ticks go on."""
    (port,) = free_ports(1)
    endpoint = f"http://127.0.0.1:{port}/devstoreaccount1"
    account = "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey=a2V5"
    app = App({"AzureWebJobsStorage": f"{account};QueueEndpoint={endpoint};TableEndpoint={endpoint};"})
    url = "http://localhost/"
    path = {"ingestion_id": "00000000-0000-4000-8000-000000000000"}
    with caplog.at_level(logging.ERROR):
        for method, handler in (("POST", api.ingest), ("GET", api.health), ("GET", api.status)):
            answer = await app.handle(handler, Request(method=method, url=url, body=BODY, path=path))
            problem(answer, 503)
            assert answer.headers["Retry-After"] == "5"
        await app.tick()
        await app.keep_up()
    assert len(caplog.messages) == 5
    assert not any("\n" in message for message in caplog.messages)
    await app.close()


async def test_wrong_settings_are_named_by_every_call(caplog: pytest.LogCaptureFixture) -> None:
    """They are logged once each, at start."""
    wrong = {"INGEST_BATCH_SIZE": "0", "INGEST_INTERVAL_SECONDS": "x"}
    app = App({"AzureWebJobsStorage": "UseDevelopmentStorage=true", **wrong})
    fields = problem(await app.handle(api.health, Request(url="http://localhost/health")), 503)
    assert "INGEST_INTERVAL_SECONDS" in fields["detail"]
    assert "INGEST_BATCH_SIZE" in fields["detail"]
    await app.tick()
    named = [message.split()[1] for message in caplog.messages if message.startswith("setting.wrong")]
    assert named == ["INGEST_INTERVAL_SECONDS:", "INGEST_BATCH_SIZE:"]


@pytest.mark.parametrize("text", ["", "secret", "AccountName=a;AccountKey=secret!;EndpointSuffix=localhost"])
async def test_a_connection_that_cannot_be_used_is_a_wrong_setting(text: str) -> None:
    """It is reported like the others, without its text."""
    app = App({"AzureWebJobsStorage": text})
    fields = problem(await app.handle(api.health, Request(url="http://localhost/health")), 503)
    assert "AzureWebJobsStorage" in fields["detail"]
    assert "secret" not in fields["detail"]


async def test_a_source_that_cannot_be_made_is_a_wrong_setting() -> None:
    """The class is looked for when the service is put together."""
    app = App({"AzureWebJobsStorage": "UseDevelopmentStorage=true", "INGEST_SOURCE": "no.such.module:Name"})
    fields = problem(await app.handle(api.health, Request(url="http://localhost/health")), 503)
    assert "INGEST_SOURCE" in fields["detail"]


def test_a_schedule_that_is_too_slow_is_named_once(caplog: pytest.LogCaptureFixture) -> None:
    """Slots would stay unused, and nothing else would say so."""
    App({"AzureWebJobsStorage": "UseDevelopmentStorage=true", "INGEST_SCHEDULE": "0 * * * * *"})
    (message,) = caplog.messages
    assert message.startswith("setting.slow INGEST_SCHEDULE: ")


async def test_the_state_has_the_fields_that_the_alerts_read() -> None:
    """`docs/operations.md` shows the line; a list that was never started waits."""
    parts = service_in_memory()
    await parts.context.service.accept(IngestRequest(ids=[1, 2, 3, 4], priority=Priority.LOW))
    state = str(await read_state(parts.stores, parts.clock, running=0))
    shown = re.search(r"service\.state (high_wait_seconds=.*)", (ROOT / "docs/operations.md").read_text())
    assert shown
    assert [field.split("=")[0] for field in state.split()] == [field.split("=")[0] for field in shown[1].split()]
    assert "waiting_batches=2" in state
    assert "paused=none throttled=none" in state


async def test_the_state_counts_what_is_left_of_a_list() -> None:
    """A backlog row says how many batches there were when the list was queued."""
    desk = Desk()
    one = await desk.post(range(1, 31), "LOW")
    for number in range(3):
        await desk.post([number], "LOW")
    await desk.run(one, 0, 1, 2)
    await desk.start(one, 3)
    desk.clock.seconds += 60
    state = await read_state(open_stores(desk.storage, sends_events=False), desk.clock, running=1)
    assert (state.waiting_batches, state.wait_seconds[Priority.LOW]) == (10 - 4 + 3, 60)


async def test_polls_and_idle_ticks_say_nothing_but_the_state_once_a_minute(
    storage_emulator: Azurite, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the log is full of nothing, and alerts cannot tell silence from idleness."""
    empty(storage_emulator.connection_string)
    app = App({"AzureWebJobsStorage": storage_emulator.connection_string, "INGEST_INTERVAL_SECONDS": "0.1"})
    with caplog.at_level(logging.INFO, "ingest_core"):
        for handler in (api.health, api.lanes, api.ingestions):
            assert (await app.handle(handler, Request(url="http://localhost/"))).status == 200
        for _ in range(3):
            await app.tick()
        monkeypatch.setattr("ingest_core.app.STATE_SECONDS", 0.0)
        await app.tick()
    await app.close()
    assert [message.split()[0] for message in caplog.messages] == [
        "service.assembled",
        "service.state",
        "service.state",
    ]


def events_in_the_code() -> set[str]:
    """The first words of all lines that are logged."""
    source = "".join(path.read_text() for path in (ROOT / "ingest_core").rglob("*.py"))
    calls = re.findall(
        r'(?:log\.\w+\(\s*(?:line\.level, )?|text = |text=|until_done\([^"]*)f?"([a-z]+\.[^ :"]+)', source
    )
    return set(" ".join(calls).replace("{ingestion.status}", "completed ingestion.failed").split())


def events_in(text: str) -> set[str]:
    """The events that a page names in backquotes, where `.failed` stands behind the event before it."""
    found: set[str] = set()
    prefix = ""
    for group, name in re.findall(r"`([a-z]*)\.([a-z_]+)(?= |`)", text):
        prefix = group or prefix
        found.add(f"{prefix}.{name}")
    return found


def test_the_readme_lists_the_events_that_are_logged() -> None:
    """All of them, and no other."""
    section = (ROOT / "README.md").read_text().partition("## What the log says")[2].partition("\n## ")[0]
    assert events_in(section) == events_in_the_code()


def test_the_operations_page_explains_every_warning_and_error() -> None:
    """What the README lists by those levels."""
    listed = (ROOT / "README.md").read_text().partition("- WARNING: ")[2].partition("\n\n")[0]
    page = (ROOT / "docs" / "operations.md").read_text()
    assert events_in(listed) - events_in(page) == set()


def test_the_operations_page_names_only_events_that_are_logged() -> None:
    """In its text and in its queries."""
    page = (ROOT / "docs" / "operations.md").read_text()
    queried = set(re.findall(r'startswith "([a-z]+\.[a-z_]+)', page))
    known = events_in_the_code()
    assert queried <= known
    assert {
        event for event in events_in(page) if event.partition(".")[0] in {one.partition(".")[0] for one in known}
    } <= known


class WindowsEnvironment(UserDict[str, str]):
    """As `os.environ` is on Windows: a name is found whatever its case, and listed in upper case."""

    def __setitem__(self, name: str, value: str) -> None:
        super().__setitem__(name.upper(), value)

    def __getitem__(self, name: str) -> str:
        return super().__getitem__(name.upper())

    def __contains__(self, name: object) -> bool:
        return super().__contains__(str(name).upper())


def test_windows_lists_settings_in_upper_case(caplog: pytest.LogCaptureFixture) -> None:
    """They are found all the same, and none is taken for a misspelt one."""
    app = App(WindowsEnvironment(AzureWebJobsStorage="UseDevelopmentStorage=true", INGEST_SCHEDULE="* * * * * *"))
    assert (app.schedule, caplog.messages) == ("* * * * * *", [])
