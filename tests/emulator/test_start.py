"""How the emulator starts, and how it refuses to."""

import json
import socket
from pathlib import Path

import pytest

from devtools.ports import free_ports
from tests.emulator.emulated import HELLO, Emulator, emulator, make_app

ENV = '@app.route(route="env")\ndef env(req): return json.dumps({name: os.environ.get(name) for name in "ABC"})\n'


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import nothing_like_it", "ModuleNotFoundError: No module named 'nothing_like_it'"),
        ("def broken(:", "SyntaxError"),
        ("raise SystemExit('no')", "SystemExit: no"),
        ("", "must have one FunctionApp, not 1 with 0 functions"),
        ("del app", "must have one FunctionApp, not 0 with "),
        (HELLO + "other = func.FunctionApp()", "must have one FunctionApp, not 2 with "),
        ('@app.route(route="x")\ndef f(request): ...', "function f takes ['request'], but its bindings are ['req']"),
        (HELLO + HELLO, "hello"),
    ],
)
def test_an_app_that_cannot_be_loaded_ends_the_emulator(source: str, reason: str, tmp_path: Path) -> None:
    """The last line gives the reason. The real host would say `Running`."""
    refused = Emulator(make_app(tmp_path / "app", source))
    assert refused.process.wait() == 1
    last = refused.log.splitlines()[-1]
    assert last.startswith("emulator: function_app.py")
    assert reason in last


def test_the_traceback_of_an_app_that_cannot_be_loaded_begins_in_its_code(tmp_path: Path) -> None:
    """No frame of the emulator or of Python's import is shown."""
    refused = Emulator(make_app(tmp_path / "app", "def wrong():\n    raise RuntimeError('here')\nwrong()"))
    assert refused.process.wait() == 1
    assert "in wrong" in refused.log
    assert "emulator/app.py" not in refused.log
    assert "importlib" not in refused.log


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("local.settings.json", "{", "cannot be read"),
        ("local.settings.json", "{} /* never closed", "cannot be read"),
        ("local.settings.json", "[]", "must be a JSON object"),
        ("local.settings.json", '{"Values": {}}', 'needs "IsEncrypted": false'),
        ("local.settings.json", '{"IsEncrypted": true}', "encrypted settings cannot be read"),
        ("local.settings.json", '{"IsEncrypted": false, "Values": {"A": 1}}', "Values must be an object of strings"),
        ("host.json", "no", "cannot be read"),
        ("host.json", '{"extensions": []}', "extensions and http must be objects"),
    ],
)
def test_a_wrong_settings_file_is_one_line(name: str, content: str, reason: str, tmp_path: Path) -> None:
    """The line names the file and what is wrong with it."""
    app = make_app(tmp_path / "app", HELLO)
    (app / name).write_text(content)
    refused = Emulator(app)
    assert refused.process.wait() == 1
    assert len(refused.log.splitlines()) == 1
    assert name in refused.log
    assert reason in refused.log


def test_a_folder_without_an_app_is_one_line(tmp_path: Path) -> None:
    """The line names the missing file."""
    (tmp_path / "app").mkdir()
    refused = Emulator(tmp_path / "app")
    assert refused.process.wait() == 1
    assert refused.log.strip() == f"emulator: {tmp_path / 'app'} is not a function app: it has no function_app.py"


def test_a_port_in_use_is_one_line(tmp_path: Path) -> None:
    """The line says what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = Emulator(make_app(tmp_path / "app", HELLO), port=port)
        assert refused.process.wait() == 1
    line = f"emulator: port {port}: Address already in use; free it, or choose another --port"
    assert refused.log.strip() == line


def test_a_port_that_cannot_exist_is_one_line(tmp_path: Path) -> None:
    """The line gives the range of ports."""
    refused = Emulator(make_app(tmp_path / "app", HELLO), port=70000)
    assert refused.process.wait() == 1
    assert refused.log.strip() == "emulator: port 70000: not from 0 to 65535; free it, or choose another --port"


def test_the_environment_wins_over_local_settings(tmp_path: Path) -> None:
    """A variable that is set wins over local.settings.json, unless it is empty."""
    app = make_app(tmp_path / "app", ENV, settings={"A": "file", "B": "file", "C": "file"})
    with emulator(app, env={"A": "process", "B": ""}) as host:
        assert json.loads(host.ask("GET", "/api/env")[1]) == {"A": "process", "B": "file", "C": "file"}


def test_settings_files_may_have_comments_and_trailing_commas(tmp_path: Path) -> None:
    """Core Tools accept both; what looks like a comment inside a string is part of the string."""
    app = make_app(tmp_path / "app", ENV)
    (app / "local.settings.json").write_text(
        """{
            // the host's own form
            "IsEncrypted": false, // not a bracket: }
            /* "IsEncrypted": true, */
            "Values": {"A": "http://h/*x*/", "B": ",}", "C": "\\"//", /* last */ // really
            },
        }"""
    )
    (app / "host.json").write_text('{"extensions": {"http": {"routePrefix": "v1",},}, /* no more */ } // end')
    with emulator(app) as host:
        assert json.loads(host.ask("GET", "/v1/env")[1]) == {"A": "http://h/*x*/", "B": ",}", "C": '"//'}


def test_an_error_in_a_file_with_comments_is_shown_where_it_is(tmp_path: Path) -> None:
    """Line and column are those of the file, comments included."""
    app = make_app(tmp_path / "app", HELLO)
    (app / "host.json").write_text('// first\n/* second\nthird */ {"a": oops}')
    refused = Emulator(app)
    assert refused.process.wait() == 1
    assert "line 3 column 16" in refused.log


def test_values_may_be_an_empty_list(tmp_path: Path) -> None:
    """The host takes it for an empty object."""
    app = make_app(tmp_path / "app", HELLO)
    (app / "local.settings.json").write_text('{"IsEncrypted": false, "Values": []}')
    with emulator(app) as host:
        assert host.ask("GET", "/api/hello") == (200, "hello")


@pytest.mark.parametrize(("prefix", "path"), [("", "/hello"), ("v1/api", "/v1/api/hello")])
def test_the_route_prefix_is_the_apps(prefix: str, path: str, tmp_path: Path) -> None:
    """An empty prefix puts the routes at the root, and a function may take the home page's place."""
    home = '@app.route(route="/")\ndef home(req): return "home"\n' if not prefix else ""
    settings = {"extensions": {"http": {"routePrefix": prefix}}}
    with emulator(make_app(tmp_path / "app", HELLO + home, host=settings)) as host:
        assert host.ask("GET", path) == (200, "hello")
        assert host.ask("GET", "/api/hello") == (404, "")
        assert (host.ask("GET", "/")[1] == "home") == (not prefix)


def test_a_port_is_free_at_once_after_a_stop(tmp_path: Path) -> None:
    """The next emulator can serve on the same port without a wait."""
    port = free_ports(1)[0]
    app = make_app(tmp_path / "app", HELLO)
    for _ in range(2):
        with emulator(app, port=port) as host:
            assert host.ask("GET", "/api/hello") == (200, "hello")
            host.process.stop()


def test_an_empty_key_is_refused(tmp_path: Path) -> None:
    """A caller without a key would have it."""
    refused = Emulator(make_app(tmp_path / "app", HELLO), arguments=["--key", ""])
    assert refused.process.wait() == 2
    assert "a key must not be empty" in refused.log
