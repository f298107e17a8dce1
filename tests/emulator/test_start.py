"""How the emulator starts, and how it reports that it cannot start."""

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
    """The last line is the reason. The real host would say `Running`."""
    emulator = Emulator(make_app(tmp_path / "app", source))
    assert emulator.process.wait() == 1
    last = emulator.log.splitlines()[-1]
    assert last.startswith("emulator: function_app.py")
    assert reason in last


def test_the_traceback_of_an_app_that_cannot_be_loaded_begins_in_its_code(tmp_path: Path) -> None:
    """No frame of the emulator or of Python's import is shown."""
    emulator = Emulator(make_app(tmp_path / "app", "def wrong():\n    raise RuntimeError('here')\nwrong()"))
    assert emulator.process.wait() == 1
    assert "in wrong" in emulator.log
    assert "emulator/app.py" not in emulator.log
    assert "importlib" not in emulator.log


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
def test_a_wrong_settings_file_is_reported_in_one_line(name: str, content: str, reason: str, tmp_path: Path) -> None:
    """The line names the file and what is wrong with it."""
    app = make_app(tmp_path / "app", HELLO)
    (app / name).write_text(content)
    emulator = Emulator(app)
    assert emulator.process.wait() == 1
    assert len(emulator.log.splitlines()) == 1
    assert name in emulator.log
    assert reason in emulator.log


def test_a_folder_without_an_app_is_reported_in_one_line(tmp_path: Path) -> None:
    """The line names the missing file."""
    (tmp_path / "app").mkdir()
    emulator = Emulator(tmp_path / "app")
    assert emulator.process.wait() == 1
    assert emulator.log.strip() == f"emulator: {tmp_path / 'app'} is not a function app: it has no function_app.py"


def test_a_port_in_use_is_reported_in_one_line(tmp_path: Path) -> None:
    """The line says what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        emulator = Emulator(make_app(tmp_path / "app", HELLO), port=port)
        assert emulator.process.wait() == 1
    line = f"emulator: port {port}: Address already in use; free it, or choose another --port"
    assert emulator.log.strip() == line


def test_a_port_out_of_range_is_reported_in_one_line(tmp_path: Path) -> None:
    """The line contains the range of ports."""
    emulator = Emulator(make_app(tmp_path / "app", HELLO), port=70000)
    assert emulator.process.wait() == 1
    assert emulator.log.strip() == "emulator: port 70000: not from 0 to 65535; choose another --port"


def test_the_environment_overrides_local_settings(tmp_path: Path) -> None:
    """An environment variable overrides local.settings.json unless it is empty."""
    app = make_app(tmp_path / "app", ENV, settings={"A": "file", "B": "file", "C": "file"})
    with emulator(app, env={"A": "process", "B": ""}) as host:
        assert json.loads(host.ask("GET", "/api/env")[1]) == {"A": "process", "B": "file", "C": "file"}


def test_settings_files_may_have_comments_and_trailing_commas(tmp_path: Path) -> None:
    """Core Tools accept both. Comment signs inside a string are part of the string."""
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


def test_an_error_in_a_file_with_comments_has_the_right_place(tmp_path: Path) -> None:
    """Line and column are those of the file with its comments."""
    app = make_app(tmp_path / "app", HELLO)
    (app / "host.json").write_text('// first\n/* second\nthird */ {"a": oops}')
    emulator = Emulator(app)
    assert emulator.process.wait() == 1
    assert "line 3 column 16" in emulator.log


def test_values_may_be_an_empty_list(tmp_path: Path) -> None:
    """The host treats it as an empty object."""
    app = make_app(tmp_path / "app", HELLO)
    (app / "local.settings.json").write_text('{"IsEncrypted": false, "Values": []}')
    with emulator(app) as host:
        assert host.ask("GET", "/api/hello") == (200, "hello")


@pytest.mark.parametrize(("prefix", "path"), [("", "/hello"), ("v1/api", "/v1/api/hello")])
def test_the_route_prefix_comes_from_host_json(prefix: str, path: str, tmp_path: Path) -> None:
    """An empty prefix puts the routes at the root, where a function may replace the home page."""
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


def test_an_empty_key_is_an_error(tmp_path: Path) -> None:
    """With an empty key, a request without a key would be let in."""
    emulator = Emulator(make_app(tmp_path / "app", HELLO), arguments=["--key", ""])
    assert emulator.process.wait() == 2
    assert "a key must not be empty" in emulator.log
