"""Tests of the triggers: what the host is told about them."""

import logging
import re
from importlib import reload
from types import ModuleType

import pytest

import function_app
from devtools.azurite import ROOT
from ingest_core.api.openapi.document import document


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The app as it is indexed with local settings."""
    monkeypatch.setenv("AzureWebJobsStorage", "UseDevelopmentStorage=true")
    return reload(function_app)


def bindings(module: ModuleType) -> dict[str, dict]:
    """The trigger of every function, by name."""
    return {
        function.get_function_name(): function.get_trigger().get_dict_repr() for function in module.app.get_functions()
    }


def test_every_function_has_its_route(module: ModuleType) -> None:
    """With the empty route prefix of host.json these are the paths, and the API's document has the same."""
    routes = {name: trigger["route"] for name, trigger in bindings(module).items() if "route" in trigger}
    assert routes == {
        "ingest": "ingest",
        "status": "status/{ingestion_id}",
        "batches": "status/{ingestion_id}/batches",
        "results": "results/{ingestion_id}",
        "ingestions": "ingestions",
        "ingestion": "ingestions/{ingestion_id}",
        "cancel": "ingestions/{ingestion_id}/cancel",
        "retry": "ingestions/{ingestion_id}/retry",
        "lanes": "lanes",
        "pause": "lanes/{switch}/pause",
        "health": "health",
        "home": "/",
        "pages": "pages/{file}",
        "metrics": "metrics",
        "openapi": "openapi.json",
        "docs": "docs",
        "problem_type": "problems/{slug}",
    }
    assert set(document()["paths"]) == {f"/{route.lstrip('/')}" for route in routes.values()}


def test_the_handlers_answer_a_wrong_method_not_the_host(module: ModuleType) -> None:
    """The host would send an empty 404, which says nothing."""
    limited = {name for name, trigger in bindings(module).items() if trigger.get("methods")}
    assert limited == set()


def test_only_what_the_security_page_names_is_open_to_everybody(module: ModuleType) -> None:
    """A row for each open path; all others need a function key when deployed."""
    page = (ROOT / "docs" / "security.md").read_text()
    named = set(re.findall(r"`(/[^`…]*)`", page.partition("| everything else")[0]))
    levels = {
        "/" + trigger["route"].strip("/"): str(getattr(trigger["authLevel"], "value", trigger["authLevel"])).lower()
        for trigger in bindings(module).values()
        if "authLevel" in trigger
    }
    assert {path for path, level in levels.items() if level == "anonymous"} == named
    assert {level for path, level in levels.items() if path not in named} == {"function"}


def test_the_dispatch_timer_takes_its_schedule_from_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """In code, not as %NAME%: the host does not index a function whose name is not set."""
    monkeypatch.setenv("INGEST_SCHEDULE", "*/2 * * * * *")
    assert bindings(reload(function_app))["dispatch"]["schedule"] == "*/2 * * * * *"


@pytest.mark.parametrize("schedule", ["", "nonsense"])
def test_a_wrong_or_empty_schedule_gives_the_default(monkeypatch: pytest.MonkeyPatch, schedule: str) -> None:
    """The timer is indexed in any case."""
    monkeypatch.setenv("INGEST_SCHEDULE", schedule)
    assert bindings(reload(function_app))["dispatch"]["schedule"] == "*/5 * * * * *"


def test_upkeep_runs_at_start_and_every_ten_minutes(module: ModuleType) -> None:
    """A restart is when messages are most likely to be missing."""
    trigger = bindings(module)["upkeep"]
    assert (trigger["schedule"], trigger["runOnStartup"]) == ("0 */10 * * * *", True)


def test_the_timers_keep_no_record_of_their_runs(module: ModuleType) -> None:
    """A host that starts late has nothing to make up for: the lanes keep the work, and recovery runs at start."""
    monitored = {name: trigger["useMonitor"] for name, trigger in bindings(module).items() if "useMonitor" in trigger}
    assert monitored == {"dispatch": False, "upkeep": False}


def test_storages_client_logs_errors_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its warnings repeat, with a trace, what our one line says, and its information is a page for every call."""
    monkeypatch.setattr(logging.getLogger("azure"), "level", logging.NOTSET)
    reload(function_app)
    assert logging.getLogger("azure").level == logging.ERROR


def test_nothing_is_wrong_enough_to_fail_the_import(monkeypatch: pytest.MonkeyPatch) -> None:
    """The host would answer 404 to everything."""
    monkeypatch.delenv("AzureWebJobsStorage", raising=False)
    monkeypatch.setenv("INGEST_INTERVAL_SECONDS", "x")
    assert len(bindings(reload(function_app))) == 19
