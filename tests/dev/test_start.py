"""`dev.py start` as a process, with a real Azurite and a host that reports what happens to it."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from devtools.child import Child, wait_until
from devtools.console import Failure
from devtools.ports import free_ports, listening
from devtools.processes import Interrupts
from devtools.start import Limit, wait
from tests.dev.checkout import make_checkout
from tests.dev.run import Run, running

FAKE_HOST = Path(__file__).with_name("fake_host.py")
STOPPING = "Stopping: first the host, then Azurite (Ctrl-C again ends the host at once)\n"

FAKE_FUNC = """#!/bin/sh
if [ "$1" = --version ]; then echo 4.2.1; exit; fi
echo "func asked: $*"
echo "python: $(command -v python)"
sleep 600 &
echo "worker: $!"
exec python emulator/__main__.py "$@"
"""

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="only Linux signals a child whose parent was killed")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout where everything is set up, with the fake host as its emulator."""
    return make_checkout(tmp_path / "checkout", emulator=FAKE_HOST)


def make_func(checkout: Path) -> Path:
    """Make a folder with a program that prints a version as Core Tools do, and serves like the fake host."""
    func = checkout / "bin" / "func"
    func.parent.mkdir()
    func.write_text(FAKE_FUNC)
    func.chmod(0o755)
    return func.parent


def runs(pid: int) -> bool:
    """Whether the process still runs. A zombie does not."""
    shown = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return shown.stdout.strip()[:1] not in ("", "Z")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_stops_the_host_first_and_azurite_last(checkout: Path, number: signal.Signals) -> None:
    """Only dev.py gets the signal, even a Ctrl-C. The emulator gets one SIGINT, and its storage outlives it."""
    with running(checkout) as run:
        os.killpg(run.pid, number)
        assert run.wait() == 0
        assert run.output().endswith(STOPPING + "fake host: got SIGINT\nfake host: its batch is stored\nStopped.\n")
        assert run.everything_has_ended()
        assert run.azurite_closed_in_order()


def test_the_service_is_announced_when_it_answers(checkout: Path) -> None:
    """The URL contains the port of the command line."""
    with running(checkout) as run:
        assert f"The service runs at http://127.0.0.1:{run.port}, and its data is in .azurite/\n" in run.output()
        assert f"curl -i http://127.0.0.1:{run.port}/ingest -d '" in run.output()
        assert "Host: emulator (--host emulator)\n" in run.output()


def test_a_second_ctrl_c_kills_the_host_at_once_and_never_azurite(checkout: Path) -> None:
    """A batch that was in flight is started again later."""
    with running(checkout, env={"FAKE_BATCH_SECONDS": "600"}) as run:
        run.ctrl_c()
        run.wait_for("got SIGINT")
        began = time.monotonic()
        run.ctrl_c()
        assert run.wait() == 0
        assert time.monotonic() - began < 3
        assert "The host has not ended and is killed" in run.output()
        assert run.everything_has_ended()
        assert run.azurite_closed_in_order()


@pytest.mark.parametrize("host", ["emulator", "func"])
def test_one_ctrl_c_ends_everything_within_5_s(checkout: Path, host: str) -> None:
    """This is true even in the middle of a tick that would take minutes, and includes func's worker."""
    env = {"FAKE_BATCH_SECONDS": "600", "PATH": f"{make_func(checkout)}{os.pathsep}{os.environ['PATH']}"}
    with running(checkout, host=host, env=env) as run:
        began = time.monotonic()
        run.ctrl_c()
        assert run.wait() == 0
        assert time.monotonic() - began < 5
        assert run.everything_has_ended()
        assert run.azurite_closed_in_order()


def test_a_second_start_in_the_same_checkout_fails_with_one_line(checkout: Path) -> None:
    """Two Azurites would destroy the data in their folder."""
    with running(checkout) as first:
        assert Run(checkout).error_output() == (
            "The service of this checkout already runs and uses .azurite/ "
            f"(process {first.pid}, port {first.port}): end it first\n"
        )


def test_a_port_in_use_is_reported_in_one_line(checkout: Path) -> None:
    """The port is checked before anything is started."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        output = Run(checkout, port=port).error_output()
    line = rf"Port {port} cannot be used, it is in use: choose another, such as dev.py start --port \d+\n"
    assert re.fullmatch(line, output), output


def test_an_unhealthy_service_says_why_and_runs(checkout: Path) -> None:
    """Health is 503 for a wrong setting, which the user must see, and for an old backlog, which must not stop it."""
    with running(checkout, env={"FAKE_HEALTH": "503"}) as run:
        health_message = "GET /health answers 503: INGEST_BATCH_SIZE is 0: give 1 or more\n"
        assert run.output().endswith(f"{health_message}Ctrl-C stops it.\n")
        assert "The service runs at" in run.output()
        assert "Try it" not in run.output()


def test_func_is_given_the_environment_and_leaves_no_worker_behind(checkout: Path) -> None:
    """Func finds its Python on PATH and ends itself on SIGTERM. Its worker is ended soon after it."""
    func = make_func(checkout) / "func"
    with running(checkout, host="func", env={"PATH": f"{func.parent}{os.pathsep}{os.environ['PATH']}"}) as run:
        assert f"Host: func 4.2.1 ({func})\n" in run.output()
        assert f"func asked: start --port {run.port}\n" in run.output()
        assert f"python: {checkout}/.venv/bin/python\n" in run.output()
        worker = int(run.output().partition("worker: ")[2].split()[0])
        run.ctrl_c()
        assert run.wait() == 0
        assert "fake host: its batch is stored" in run.output()
        assert not runs(worker)


def test_an_error_of_the_operating_system_is_reported_in_one_line(checkout: Path) -> None:
    """Another example is a full disk. Here the data folder cannot be made, because there is a file with its name."""
    (checkout / ".azurite").touch()
    line = r"The operating system reports an error \(.*\.azurite.*\): correct that, .*\n"
    assert re.fullmatch(line, Run(checkout).error_output())


def test_a_reader_that_goes_away_stops_the_service_without_a_traceback(checkout: Path) -> None:
    """An example is `dev.py start | head -2`. The later lines of the host are discarded."""
    port = free_ports(1)[0]
    command = [sys.executable, "dev.py", "start", "--host", "emulator", "--port", str(port)]
    with (checkout / "errors").open("wb") as errors:
        run = subprocess.Popen(command, cwd=checkout, stdout=subprocess.PIPE, stderr=errors, start_new_session=True)
    assert run.stdout is not None
    try:
        wait_until(lambda: listening(port), seconds=60, what="the host listens")
        run.stdout.readline()
        run.stdout.close()
        assert run.wait(10) == 0
    finally:
        run.kill()
    assert (checkout / "errors").read_text() == ""
    assert not listening(port)


@linux_only
def test_a_host_that_dies_ends_the_run(checkout: Path) -> None:
    """One line says what happened, and Azurite writes its data before it ends."""
    with running(checkout) as run:
        os.kill(run.children()["host"], signal.SIGKILL)
        assert run.wait() == 1
        last = run.output().splitlines()[-1]
        assert last == "The host was killed (signal 9): see its last lines above, then run this again"
        assert run.azurite_closed_in_order()


@linux_only
def test_an_azurite_that_dies_ends_the_run(checkout: Path) -> None:
    """The host gets a signal to end, and one line says what happened."""
    with running(checkout) as run:
        os.kill(run.children()["azurite"], signal.SIGKILL)
        assert run.wait() == 1
        assert "fake host: got SIGINT" in run.output()
        assert run.output().splitlines()[-1].startswith("Azurite was killed (signal 9): run this again; its log is /")
        assert run.everything_has_ended()


@linux_only
def test_a_killed_dev_py_leaves_nothing_running_and_nothing_lost(checkout: Path) -> None:
    """The kernel sends the host a signal. Azurite runs until the host has ended, and then writes its data."""
    with running(checkout) as run:
        run.kill()
        wait_until(run.everything_has_ended, seconds=30, what="everything has ended")
        assert run.output().endswith("fake host: got SIGINT\nfake host: its batch is stored\n")
        assert run.azurite_closed_in_order()


@linux_only
def test_a_killed_dev_py_that_is_a_zombie_does_not_count_as_running(checkout: Path) -> None:
    """Here it stays a zombie until this test waits for it. In some containers, process 1 never does that."""
    with running(checkout) as run:
        os.kill(run.pid, signal.SIGKILL)
        following = Run(checkout)
        try:
            following.wait_for("Ctrl-C stops it.")
        finally:
            following.stop()
            run.wait()


@linux_only
def test_a_start_after_a_killed_one_waits_until_the_data_is_free(checkout: Path) -> None:
    """The user does not have to clean up, and two Azurites never write to the same folder."""
    with running(checkout, env={"FAKE_BATCH_SECONDS": "600"}) as run:
        host = run.children()["host"]
        run.kill()
        following = Run(checkout)
        try:
            following.wait_for("The previous run was killed: waiting")
            assert "Azurite" not in following.output().partition("\n")[2]
            os.kill(host, signal.SIGKILL)
            following.wait_for("Ctrl-C stops it.")
        finally:
            following.stop()


def test_waiting_has_an_end() -> None:
    """The failure has the message of the limit."""
    with pytest.raises(Failure, match=r"^It does not answer \(waited 0\.1 s\)$"):
        wait(lambda: False, [], Interrupts(), limit=Limit(0.1, "It does not answer"))


@pytest.mark.parametrize("port", ["0", "65536", "-1", "http"])
def test_a_number_that_is_no_port_is_refused(checkout: Path, port: str) -> None:
    """The message contains the range of valid ports."""
    run = Child([sys.executable, "dev.py", "start", f"--port={port}"], log=checkout / "log", cwd=checkout)
    assert run.wait() == 2
    assert f"{port} is no port: give a number from 1 to 65535" in run.output()


def test_services_that_start_at_the_same_moment_get_storage_of_their_own(tmp_path: Path) -> None:
    """If another service takes its ports after they were chosen, a service chooses others."""
    checkouts = [make_checkout(tmp_path / f"checkout-{number}", emulator=FAKE_HOST) for number in range(3)]
    runs_together = [Run(checkout) for checkout in checkouts]
    try:
        for run in runs_together:
            run.wait_for("Ctrl-C stops it.")
        for run in runs_together:
            run.ctrl_c()
            assert run.wait() == 0
            assert run.everything_has_ended()
            assert run.azurite_closed_in_order()
    finally:
        for run in runs_together:
            run.kill()
