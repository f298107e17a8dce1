"""The emulator as a program: how it starts, refuses to, and ends."""

import json
import signal
import socket
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from devtools.ports import free_ports
from tests.emulator.emulated import Emulator, emulator, make_app
from tests.support.processes import wait_until

HELLO = '@app.route(route="hello", auth_level="anonymous")\ndef hello(req): return "hello"\n'
NOTE = """
def note(what):
    with open("notes", "a") as file:
        file.write(json.dumps([what, time.time()]) + "\\n")
"""


def notes(app: Path) -> list[tuple[str, float]]:
    """What the functions of an app have noted, and when."""
    file = app / "notes"
    return [(what, when) for what, when in map(json.loads, file.read_text().splitlines())] if file.exists() else []


def noted(app: Path, what: str) -> Callable[[], bool]:
    """A condition: the app's functions have noted this."""
    return lambda: what in dict(notes(app))


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import nothing_like_it", "ModuleNotFoundError: No module named 'nothing_like_it'"),
        ("def broken(:", "SyntaxError"),
        ("raise SystemExit('no')", "SystemExit: no"),
        ("", "must have one FunctionApp, not 1 with 0 functions"),
        ("del app", "must have one FunctionApp, not 0 with "),
        (
            HELLO + "other = func.FunctionApp()",
            "must have one FunctionApp, not 2 with ",
        ),
        (
            '@app.route(route="x")\ndef one(request): ...',
            "function one takes ['request'], but what is bound is ['req']",
        ),
        (HELLO + HELLO, "hello"),
    ],
)
def test_an_app_that_cannot_be_loaded_ends_it(source: str, reason: str, tmp_path: Path) -> None:
    """At once, with the reason on the last line; the real host says `Running`."""
    one = Emulator(make_app(tmp_path / "app", source))
    assert one.process.wait() == 1
    last = one.log.splitlines()[-1]
    assert last.startswith("emulator: function_app.py")
    assert reason in last


def test_the_error_shows_where_in_the_app_it_is(tmp_path: Path) -> None:
    """The traceback begins in the app's code."""
    one = Emulator(make_app(tmp_path / "app", "def wrong():\n    raise RuntimeError('here')\nwrong()"))
    assert one.process.wait() == 1
    assert "in wrong" in one.log
    assert "invoke.py" not in one.log
    assert "importlib" not in one.log


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("local.settings.json", "{", "cannot be read"),
        ("local.settings.json", "[]", "must hold a JSON object"),
        ("local.settings.json", '{"Values": {}}', 'needs "IsEncrypted": false'),
        ("local.settings.json", '{"IsEncrypted": true}', "encrypted settings cannot be read"),
        ("local.settings.json", '{"IsEncrypted": false, "Values": {"A": 1}}', "Values must be an object of strings"),
        ("local.settings.json", '{"IsEncrypted": false, "Values": []}', ""),
        ("host.json", "no", "cannot be read"),
        ("host.json", '{"extensions": []}', "extensions and http must be objects"),
    ],
)
def test_a_wrong_settings_file_is_one_line(name: str, content: str, reason: str, tmp_path: Path) -> None:
    """It names the file."""
    app = make_app(tmp_path / "app", HELLO)
    (app / name).write_text(content)
    one = Emulator(app)
    if not reason:  # an empty list is as good as an empty object
        one.wait().process.stop()
        return
    assert one.process.wait() == 1
    assert len(one.log.splitlines()) == 1
    assert name in one.log
    assert reason in one.log


def test_a_folder_without_an_app_is_one_line(tmp_path: Path) -> None:
    """It says what is missing."""
    (tmp_path / "app").mkdir()
    one = Emulator(tmp_path / "app")
    assert one.process.wait() == 1
    assert one.log.strip() == f"emulator: {tmp_path / 'app'} is not a function app: it has no function_app.py"


def test_a_port_in_use_is_one_line(tmp_path: Path) -> None:
    """It says what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        one = Emulator(make_app(tmp_path / "app", HELLO), port=port)
        assert one.process.wait() == 1
    line = f"emulator: port {port}: Address already in use; free it, or choose another --port"
    assert one.log.strip() == line


def test_a_port_that_cannot_be_is_one_line(tmp_path: Path) -> None:
    """It says which can."""
    one = Emulator(make_app(tmp_path / "app", HELLO), port=70000)
    assert one.process.wait() == 1
    assert one.log.strip() == "emulator: port 70000: not from 0 to 65535; free it, or choose another --port"


def test_settings_reach_the_app(tmp_path: Path) -> None:
    """A variable that is set wins over local.settings.json unless it is empty."""
    source = '@app.route(route="env")\ndef env(req): return json.dumps({n: os.environ.get(n) for n in "ABC"})'
    app = make_app(tmp_path / "app", source, settings={"A": "file", "B": "file", "C": "file"})
    with emulator(app, env={"A": "process", "B": ""}) as one:
        assert json.loads(one.ask("GET", "/api/env")[1]) == {"A": "process", "B": "file", "C": "file"}


@pytest.mark.parametrize(("prefix", "path"), [("", "/hello"), ("v1/api", "/v1/api/hello")])
def test_the_route_prefix_is_the_apps(prefix: str, path: str, tmp_path: Path) -> None:
    """An empty one puts the routes at the root, and a function may take the home page's place."""
    home = '@app.route(route="/")\ndef home(req): return "home"\n' if not prefix else ""
    host = {"extensions": {"http": {"routePrefix": prefix}}}
    with emulator(make_app(tmp_path / "app", HELLO + home, host=host)) as one:
        assert one.ask("GET", path) == (200, "hello")
        assert one.ask("GET", "/api/hello") == (404, "")
        assert (one.ask("GET", "/")[1] == "home") == (not prefix)


def test_what_is_not_the_hosts_reaches_a_catch_all_route(tmp_path: Path) -> None:
    """Below /admin as well: only the host's own routes come before the functions'."""
    source = '@app.route(route="{*rest}")\ndef all(req): return f"{req.method} {len(req.get_body())}"\n'
    with emulator(make_app(tmp_path / "app", source, host={"extensions": {"http": {"routePrefix": ""}}})) as one:
        assert one.ask("POST", "/admin/nowhere", "four") == (200, "POST 4")
        assert one.ask("PUT", "/admin/host/ping") == (200, "PUT 0")
        assert one.ask("GET", "/admin/host/ping") == (200, "")


def test_functions_of_generic_triggers_are_served(tmp_path: Path) -> None:
    """Their methods may be in lower case; without a schedule, one is in error alone."""
    source = """
@app.generic_trigger(arg_name="req", type="httpTrigger", route="g", methods=["get"], authLevel="ANONYMOUS")
@app.generic_output_binding(arg_name="$return", type="http")
def generic(req: func.HttpRequest, context: func.Context):
    trace = context.trace_context
    return func.HttpResponse(f"{context.function_name}{trace.Traceparent}{trace.Tracestate}")
@app.generic_trigger(arg_name="timer", type="timerTrigger")
def never(timer): ...
"""
    with emulator(make_app(tmp_path / "app", source)) as one:
        assert one.ask("GET", "/api/g") == (200, "generic")
        assert one.ask("POST", "/api/g") == (404, "")
        assert "never: in error" in one.log


def test_functions_are_ordered_by_name_as_the_host_does(tmp_path: Path) -> None:
    """In upper case, so that `_` comes after the letters; the first route that matches serves."""
    source = """
@app.route(route="x/{a}")
def a_first(req): return "a_first"
@app.route(route="x/{b}")
def aLast(req): return "aLast"
"""
    with emulator(make_app(tmp_path / "app", source)) as one:
        assert one.ask("GET", "/api/x/1") == (200, "aLast")


def test_a_wrong_function_is_in_error_alone(tmp_path: Path) -> None:
    """A reserved route, a wrong schedule, an unset name, a binding that is not copied, a name: the others run."""
    source = f"""{NOTE}{HELLO}
@app.route(route="admin/mine")
def reserved(req): return ""
@app.timer_trigger(schedule="every day", arg_name="timer", run_on_startup=True)
def wrong(timer): note("wrong")
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
    with emulator(make_app(tmp_path / "app", source)) as one:
        assert one.ask("GET", "/api/hello") == (200, "hello")
        assert one.ask("GET", "/admin/mine")[0] == 404
        wait_until(noted(one.app, "right"), seconds=10, what="the right timer has run")
        assert set(dict(notes(one.app))) == {"right"}
        for name in ("reserved", "wrong", "unset", "queue", "out", "snake", "_private"):
            assert f"{name}: in error, it will not run: " in one.log
            assert one.ask("POST", f"/admin/functions/{name}", "{}", **{"Content-Type": "application/json"})[0] == 404
            assert "errors" in json.loads(one.ask("GET", f"/admin/functions/{name}/status")[1])


def test_a_disabled_function_does_not_run(tmp_path: Path) -> None:
    """Neither by its route nor by its schedule, but by hand; the setting's name may have `_` for `.`, in any case."""
    source = f"""{NOTE}{HELLO}
@app.timer_trigger(schedule="* * * * * *", arg_name="timer", run_on_startup=True)
def off(timer): note("off")
@app.timer_trigger(schedule="* * * * * *", arg_name="timer", run_on_startup=True)
def on(timer): note("on")
"""
    settings = {"AzureWebJobs.hello.Disabled": "True", "azurewebjobs_OFF_disabled": "1"}
    with emulator(make_app(tmp_path / "app", source, settings=settings)) as one:
        wait_until(noted(one.app, "on"), seconds=10, what="the other timer has run")
        assert not noted(one.app, "off")()
        assert one.ask("GET", "/api/hello") == (404, "")
        assert one.ask("POST", "/admin/functions/OFF", "{}", **{"Content-Type": "application/json"}) == (202, "")
        wait_until(noted(one.app, "off"), seconds=10, what="it has run by hand")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_what_runs_finish(number: signal.Signals, tmp_path: Path) -> None:
    """An HTTP call is answered, a timer's run completed, none begun; a second signal changes nothing."""
    source = f"""{NOTE}
@app.route(route="slow")
async def slow(req):
    note("called")
    await asyncio.sleep(1.5)
    return "done"
@app.timer_trigger(schedule="* * * * * *", arg_name="timer")
def tick(timer):
    note("begun")
    time.sleep(2)
    note("ended")
"""
    answers: list[tuple[int, str]] = []
    with emulator(make_app(tmp_path / "app", source)) as one:
        wait_until(noted(one.app, "begun"), seconds=10, what="a run has begun")
        calling = threading.Thread(target=lambda: answers.append(one.ask("GET", "/api/slow")))
        calling.start()
        wait_until(noted(one.app, "called"), seconds=10, what="the call is being served")
        signalled = time.time()
        one.process.signal(number)
        wait_until(lambda: "stopping" in one.log, seconds=10, what="it begins to stop")
        one.process.signal(number)
        assert one.process.wait() == 0
    calling.join()
    assert answers == [(200, "done")]
    runs = [what for what, _ in notes(one.app) if what != "called"]
    assert runs.count("begun") == runs.count("ended")
    assert all(when < signalled for what, when in notes(one.app) if what == "begun")


@pytest.mark.parametrize(("use_monitor", "past_due"), [(True, [True, False]), (False, [False])])
def test_a_missed_occurrence_is_made_up_for(tmp_path: Path, past_due: list[bool], *, use_monitor: bool) -> None:
    """Once, past due, at the next start; not if the monitor is off."""
    source = f"""{NOTE}
@app.timer_trigger(schedule="0 0 0 1 * *", arg_name="timer", use_monitor={use_monitor})
def monthly(timer):
    note([timer.past_due, timer.schedule_status.get("Next", "none")])
{HELLO}"""
    app = make_app(tmp_path / "app", source)
    with emulator(app) as one:
        wait_until(lambda: "monthly: next run" in one.log, seconds=10, what="it waits")
        stored = list(one.temporary.rglob("monthly.json"))
        assert bool(stored) == use_monitor
    assert notes(app) == []
    long_ago = datetime.now(UTC) - timedelta(days=70)
    due = (long_ago.replace(day=1, hour=0, minute=0, second=0, microsecond=0) + timedelta(days=32)).replace(day=1)
    for file in stored:
        file.write_text(
            json.dumps({"last": long_ago.isoformat(), "due": due.isoformat(), "updated": long_ago.isoformat()})
        )
    with emulator(app) as one:
        assert one.ask("POST", "/admin/functions/monthly", "{}", **{"Content-Type": "application/json"})[0] == 202
        wait_until(lambda: len(notes(app)) == len(past_due), seconds=10, what="it has run")
    seen = [what for what, _ in json.loads(f"[{','.join((app / 'notes').read_text().splitlines())}]")]
    assert sorted(run[0] for run in seen) == sorted(past_due)
    assert ("none" in [run[1] for run in seen]) != use_monitor
    with emulator(app) as one:
        wait_until(lambda: "monthly: next run" in one.log, seconds=10, what="it waits again")
    assert len(notes(app)) == len(past_due)


def test_a_timer_is_told_of_its_schedule(tmp_path: Path) -> None:
    """NCRONTAB and time spans, with and without a monitor; at the very first start, nothing has been updated yet."""
    source = f"""{NOTE}
def seen(timer):
    never = sorted(key for key, moment in timer.schedule_status.items() if moment == "0001-01-01T00:00:00+00:00")
    return [timer.past_due, timer.schedule, sorted(timer.schedule_status), never]
@app.timer_trigger(schedule="0 0 0 1 1 *", arg_name="timer", run_on_startup=True)
async def yearly(timer): note(["yearly", *seen(timer)])
@app.timer_trigger(schedule="00:00:30", arg_name="timer", run_on_startup=True)
def often(timer: func.TimerRequest): note(["often", *seen(timer)])
"""
    app = make_app(tmp_path / "app", source)
    with emulator(app):
        wait_until(lambda: len(notes_of(app)) == 2, seconds=10, what="both have run")
    assert sorted(notes_of(app)) == [
        ["often", False, {"AdjustForDST": False}, [], []],
        ["yearly", False, {"AdjustForDST": True}, ["Last", "LastUpdated", "Next"], ["Last", "LastUpdated"]],
    ]


def notes_of(app: Path) -> list[list[object]]:
    """The noted values alone."""
    file = app / "notes"
    return [json.loads(line)[0] for line in file.read_text().splitlines()] if file.exists() else []


def test_a_failing_function_is_logged_from_its_own_code(tmp_path: Path) -> None:
    """Its name, how long it took, and no frame of the emulator."""
    with emulator(make_app(tmp_path / "app", '@app.route(route="x")\ndef bad(req): return 1 / 0\n')) as one:
        assert one.ask("GET", "/api/x") == (500, "")
        log = one.log[one.log.rindex("bad: ") :].splitlines()
    assert log[0].endswith(" ms, failed")
    assert log[1] == "Traceback (most recent call last):"
    assert log[2].endswith("in bad")
    assert log[-1] == "ZeroDivisionError: division by zero"


def test_log_records_show_their_message(tmp_path: Path) -> None:
    """What is in `extra` is lost, as the worker drops it; the level is host.json's."""
    source = """import logging
@app.route(route="x")
def logs(req):
    logging.warning("told %s", "so", extra={"secret": "dropped"})
    logging.info("quiet")
    return ""
"""
    app = make_app(tmp_path / "app", source, host={"logging": {"logLevel": {"default": "Warning"}}})
    with emulator(app) as one:
        assert one.ask("GET", "/api/x")[0] == 200
        assert "told so" in one.log
        assert "dropped" not in one.log
        assert "quiet" not in one.log


@pytest.mark.parametrize("query", ["", "?", "??", "?&", "?x=?"])
def test_the_query_of_the_url_is_kept(query: str, tmp_path: Path) -> None:
    """Even if there is no more of it than its mark."""
    with emulator(make_app(tmp_path / "app", '@app.route(route="x")\ndef url(req): return req.url')) as one:
        assert one.ask("GET", f"/api/x{query}") == (200, f"http://127.0.0.1:{one.port}/api/x{query}")


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"GET /api/hello HTTP/1.1\r\nHost: h\r\nX: \xff\r\n\r\n", b"400"),
        (b"GET /api/%00 HTTP/1.1\r\nHost: h\r\n\r\n", b"400"),
        (b"GET api/hello HTTP/1.1\r\nHost: h\r\n\r\n", b"400"),
        (b"GET /api/hello HTTP/1.1\r\nHost: h\r\n" + b"X: y\r\n" * 101 + b"\r\n", b"431"),
        (b"GET /" + b"x" * 300_000, b"4"),
        (b"GET /api/hello HTTP/1.0\r\nHost: h\r\n\r\n", b"200"),
        (b"GET /api/hello?x=%00 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", b"200"),
        (b"GET http://h/api/hello HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", b"200"),
        (b"GET http://other/api/hello HTTP/1.1\r\nHost: h\r\n\r\n", b"400"),
        (b"GET /api/hello HTTP/1.1\r\nHost: h h\r\n\r\n", b"400"),
        (b"GET /api/hello HTTP/1.1\r\nHost: [::1]:7071\r\nConnection: close\r\n\r\n", b"200"),
        (b"GET /api/hello HTTP/2.0\r\nHost: h\r\n\r\n", b"505"),
        (b"POST /api/hello HTTP/1.1\r\nHost: h\r\nContent-Length: 9" + b"9" * 30 + b"\r\n\r\n", b"400"),
        (b"\x16\x03\x01\x02\x00\x01\x00", b"400"),
    ],
)
def test_a_request_that_is_not_right_ends_the_connection(raw: bytes, status: bytes, hello: Emulator) -> None:
    """Cleanly; and the next one is served."""
    with socket.create_connection(("127.0.0.1", hello.port), timeout=10) as connection:
        connection.sendall(raw + (b"\r\n" if status == b"400" else b""))
        received = b""
        while piece := connection.recv(65536):
            received += piece
    assert received.startswith(b"HTTP/1.1 " + status)
    assert hello.ask("GET", "/api/hello") == (200, "hello")


@pytest.fixture(scope="module")
def hello(tmp_path_factory: pytest.TempPathFactory) -> object:
    """One function that says hello."""
    with emulator(make_app(tmp_path_factory.mktemp("hello") / "app", HELLO)) as one:
        yield one


def test_a_call_that_is_cut_off_while_it_is_sent_does_not_reach_the_function(hello: Emulator) -> None:
    """Half a body is none."""
    before = hello.log.count("hello: ")
    with socket.create_connection(("127.0.0.1", hello.port), timeout=10) as connection:
        connection.sendall(b"POST /api/hello HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nhalf")
    assert hello.ask("GET", "/api/hello") == (200, "hello")
    assert hello.log.count("hello: ") == before + 1


def test_a_call_that_is_never_sent_to_its_end_does_not_hold_up_the_stop(tmp_path: Path) -> None:
    """It is given up; the function is not called."""
    with (
        emulator(make_app(tmp_path / "app", HELLO)) as one,
        socket.create_connection(("127.0.0.1", one.port), timeout=20) as connection,
    ):
        connection.sendall(b"POST /api/hello HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nhalf")
        assert one.ask("GET", "/api/hello") == (200, "hello")
        one.process.signal(signal.SIGTERM)
        assert one.process.wait() == 0
        assert connection.recv(100).startswith(b"HTTP/1.1 500")
        assert one.log.count("hello: ") == 2  # where it is, and the one call


def test_a_function_is_described(tmp_path: Path) -> None:
    """The host shows its URL in lower case, and says why one is in error."""
    source = """
@app.route(route="Mixed/{Id:int}", methods=["GET"], auth_level="anonymous")
def Mixed(req): return ""
@app.route(route="admin/x")
def reserved(req): return ""
@app.route(route="/MIXED/{id:INT}/")
def taken(req): return ""
"""
    with emulator(make_app(tmp_path / "app", source, host={"extensions": {"http": {"routePrefix": ""}}})) as one:
        described = json.loads(one.ask("GET", "/admin/functions/mixed")[1])
        assert described["invoke_url_template"] == f"http://127.0.0.1:{one.port}/mixed/{{id:int}}"
        assert described["config"]["bindings"][0]["route"] == "Mixed/{Id:int}"
        for name, why in (("reserved", "with one or more built in routes."), ("taken", "by function 'Mixed'.")):
            assert json.loads(one.ask("GET", f"/admin/functions/{name}/status")[1])["errors"][0].endswith(why)


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [("text/plain", "{}", 415), ("application/json", "[]", 400), ("application/json", '{"input": {}}', 400)],
)
def test_running_a_function_by_hand_wants_a_json_object(
    content_type: str, body: str, status: int, hello: Emulator
) -> None:
    """As the host's own API does."""
    assert hello.ask("POST", "/admin/functions/hello", body, **{"Content-Type": content_type})[0] == status


def test_ports_are_free_again(tmp_path: Path) -> None:
    """The same port serves at once after a stop."""
    port = free_ports(1)[0]
    app = make_app(tmp_path / "app", HELLO)
    for _ in range(2):
        with emulator(app, port=port) as one:
            assert one.ask("GET", "/api/hello") == (200, "hello")
