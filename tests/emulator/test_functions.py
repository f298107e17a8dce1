"""Which functions run, which are in error, and what the admin endpoints say about them."""

import json
from pathlib import Path

import pytest

from devtools.child import wait_until
from tests.emulator.emulated import HELLO, JSON, emulator, make_app, noted, notes

NO_PREFIX = {"extensions": {"http": {"routePrefix": ""}}}


def test_a_catch_all_route_serves_every_path_that_is_not_an_endpoint_of_the_host(tmp_path: Path) -> None:
    """This includes paths below /admin that are not the host's own endpoints."""
    source = '@app.route(route="{*rest}")\ndef all(req): return f"{req.method} {len(req.get_body())}"\n'
    with emulator(make_app(tmp_path / "app", source, host=NO_PREFIX)) as host:
        assert host.ask("POST", "/admin/nowhere", "four") == (200, "POST 4")
        assert host.ask("PUT", "/admin/host/ping") == (200, "PUT 0")
        assert host.ask("GET", "/admin/host/ping") == (200, "")


def test_functions_of_generic_triggers_are_served(tmp_path: Path) -> None:
    """Their methods may be in lower case. A timer without a schedule is in error, and the others are not."""
    source = """
@app.generic_trigger(arg_name="req", type="httpTrigger", route="g", methods=["get"], authLevel="ANONYMOUS")
@app.generic_output_binding(arg_name="$return", type="http")
def generic(req: func.HttpRequest, context: func.Context):
    trace = context.trace_context
    return func.HttpResponse(f"{context.function_name}{trace.Traceparent}{trace.Tracestate}")
@app.generic_trigger(arg_name="timer", type="timerTrigger")
def never(timer): ...
"""
    with emulator(make_app(tmp_path / "app", source)) as host:
        assert host.ask("GET", "/api/g") == (200, "generic")
        assert host.ask("POST", "/api/g") == (404, "")
        assert "never: in error" in host.log


def test_routes_are_tried_in_the_hosts_order_of_function_names(tmp_path: Path) -> None:
    """Names are compared in upper case, so that `_` comes after the letters."""
    source = """
@app.route(route="x/{a}")
def a_first(req): return "a_first"
@app.route(route="x/{b}")
def aLast(req): return "aLast"
"""
    with emulator(make_app(tmp_path / "app", source)) as host:
        assert host.ask("GET", "/api/x/1") == (200, "aLast")


def test_a_wrong_function_is_in_error_and_the_others_are_not(tmp_path: Path) -> None:
    """A wrong route, schedule, setting, binding or name stops none of the other functions."""
    source = f"""{HELLO}
@app.route(route="admin/mine")
def reserved(req): return ""
@app.timer_trigger(schedule="every day", arg_name="timer", run_on_startup=True)
def wrong(timer): note("wrong")
@app.timer_trigger(schedule="9999999999", arg_name="timer", run_on_startup=True)
def too_long(timer): note("too_long")
@app.timer_trigger(schedule="%NOT_SET%", arg_name="timer", run_on_startup=True)
def unset(timer): note("unset")
@app.queue_trigger(queue_name="q", connection="c", arg_name="message")
def queue(message): ...
@app.route(route="out", binding_arg_name="answer")
def out(req, answer): answer.set("x")
@app.timer_trigger(schedule="0 0 0 1 1 *", arg_name="my_timer", run_on_startup=True)
def snake(my_timer): note("snake")
@app.route(route="private")
def _private(req): return ""
@app.timer_trigger(schedule="0 0 0 1 1 *", arg_name="timer", run_on_startup=True)
def right(timer): note("right")
"""
    with emulator(make_app(tmp_path / "app", source)) as host:
        assert host.ask("GET", "/api/hello") == (200, "hello")
        assert host.ask("GET", "/admin/mine")[0] == 404
        wait_until(noted(host.app, "right"), seconds=10, what="the right timer has run")
        assert notes(host.app) == ["right"]
        for name in ("reserved", "wrong", "too_long", "unset", "queue", "out", "snake", "_private"):
            assert f"{name}: in error, it will not run: " in host.log
            assert host.run(name) == 404
            assert "errors" in json.loads(host.ask("GET", f"/admin/functions/{name}/status")[1])


def test_a_disabled_function_runs_only_by_hand(tmp_path: Path) -> None:
    """Neither its route nor its schedule starts it. The setting's name may have `_` instead of `.`, in any case."""
    source = f"""{HELLO}
@app.timer_trigger(schedule="* * * * * *", arg_name="timer", run_on_startup=True)
def off(timer): note("off")
@app.timer_trigger(schedule="* * * * * *", arg_name="timer", run_on_startup=True)
def on(timer): note("on")
"""
    settings = {"AzureWebJobs.hello.Disabled": "True", "azurewebjobs_OFF_disabled": "1"}
    with emulator(make_app(tmp_path / "app", source, settings=settings)) as host:
        wait_until(noted(host.app, "on"), seconds=10, what="the other timer has run")
        assert "off" not in notes(host.app)
        assert host.ask("GET", "/api/hello") == (404, "")
        assert host.run("OFF") == 202
        wait_until(noted(host.app, "off"), seconds=10, what="it has run by hand")


def test_a_function_is_described(tmp_path: Path) -> None:
    """The host shows a function's URL in lower case, and the reason why a function is in error."""
    source = """
@app.route(route="Mixed/{Id:int}", methods=["GET"], auth_level="anonymous")
def Mixed(req): return ""
@app.route(route="admin/x")
def reserved(req): return ""
@app.route(route="/MIXED/{id:INT}/")
def taken(req): return ""
"""
    with emulator(make_app(tmp_path / "app", source, host=NO_PREFIX)) as host:
        described = json.loads(host.ask("GET", "/admin/functions/mixed")[1])
        assert described["invoke_url_template"] == f"http://127.0.0.1:{host.port}/mixed/{{id:int}}"
        assert described["config"]["bindings"][0]["route"] == "Mixed/{Id:int}"
        for name, reason in (("reserved", "with one or more built in routes."), ("taken", "by function 'Mixed'.")):
            assert json.loads(host.ask("GET", f"/admin/functions/{name}/status")[1])["errors"][0].endswith(reason)


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [("text/plain", "{}", 415), ("application/json", "[]", 400), ("application/json", '{"input": {}}', 400)],
)
def test_a_run_by_hand_needs_a_json_object(content_type: str, body: str, status: int, tmp_path: Path) -> None:
    """The host answers all other requests with the same errors."""
    with emulator(make_app(tmp_path / "app", HELLO)) as host:
        answer = host.ask("POST", "/admin/functions/hello", body, **JSON | {"Content-Type": content_type})
        assert answer[0] == status
