"""How the emulator ends: after SIGINT it lets runs clean up, and after SIGTERM it ends like the real host."""

import signal
import socket
import threading
import time
from pathlib import Path

import pytest

from devtools.child import wait_until
from tests.emulator.emulated import HELLO, Emulator, emulator, make_app, moments, noted, notes

TICK_WITH_TASK = """
kept = set()
async def work(name, seconds):
    try:
        await asyncio.sleep(seconds)
    finally:
        await asyncio.sleep(0.3)
        note(f"{name} took its mark back")
        await asyncio.create_task(asyncio.sleep(0.3))
        note(f"{name} cleaned up")
@app.timer_trigger(schedule="0 0 0 1 1 *", arg_name="timer", run_on_startup=True)
async def tick(timer):
    kept.add(asyncio.create_task(work("task", 60)))
    if __LONG__:
        note("begun")
        await work("tick", 60)
    asyncio.get_running_loop().call_later(0.1, note, "over")
"""
SLOW_CALL = """
@app.route(route="slow/{seconds:int}")
async def slow(req):
    note("called")
    await asyncio.sleep(int(req.route_params["seconds"]))
    return "done"
"""


class Call:
    """A call of a slow function that is under way. `answer` waits for its answer."""

    def __init__(self, host: Emulator, path: str) -> None:
        self._answers: list[tuple[int, str]] = []
        self._thread = threading.Thread(target=lambda: self._answers.append(host.ask("GET", path)))
        self._thread.start()
        wait_until(noted(host.app, "called"), seconds=10, what="the call is being served")

    def answer(self) -> tuple[int, str]:
        """Wait for the answer."""
        self._thread.join(30)
        return self._answers[0]


def seconds_to_end(host: Emulator) -> float:
    """Wait until the emulator has ended with exit code 0; return how long that took."""
    began = time.monotonic()
    assert host.process.wait() == 0, host.log
    return time.monotonic() - began


@pytest.mark.parametrize("long", [True, False])
def test_sigint_lets_runs_and_left_behind_tasks_clean_up(tmp_path: Path, *, long: bool) -> None:
    """A tick of a minute does not delay the end. Tasks of ended runs are also cancelled, and may clean up."""
    app = make_app(tmp_path / "app", TICK_WITH_TASK.replace("__LONG__", str(long)))
    with emulator(app) as host:
        wait_until(noted(app, "begun" if long else "over"), seconds=10, what="the run has come so far")
        host.process.signal(signal.SIGINT)
        assert seconds_to_end(host) < 3
        assert host.log.splitlines()[-1].endswith("The emulator has stopped.")
        assert ("tick: cancelled after" in host.log) == long
        assert "Traceback" not in host.log
    cleaned = ["task cleaned up", "tick cleaned up"] if long else ["task cleaned up"]
    assert sorted(what for what, _ in moments(app) if "cleaned" in what) == cleaned


def test_sigint_waits_for_open_calls(tmp_path: Path) -> None:
    """Open calls have the same three seconds, and no timer run begins in that time."""
    source = f"""{SLOW_CALL}
@app.timer_trigger(schedule="* * * * * *", arg_name="timer")
def tick(timer): note("tick")
"""
    with emulator(make_app(tmp_path / "app", source)) as host:
        call = Call(host, "/api/slow/2")
        host.process.signal(signal.SIGINT)
        host.wait_for_log("The emulator is stopping. Still running: slow")
        ticks = notes(host.app).count("tick")
        assert seconds_to_end(host) < 3
        assert call.answer() == (200, "done")
    assert notes(host.app).count("tick") == ticks


@pytest.mark.parametrize("sleep", ["await asyncio.sleep(60)", "time.sleep(60)"])
def test_sigint_ends_a_run_that_cannot_be_cancelled(sleep: str, tmp_path: Path) -> None:
    """Neither a task that ignores the cancellation nor code that blocks the event loop delays the end for long."""
    source = f"""
@app.timer_trigger(schedule="0 0 0 1 1 *", arg_name="timer", run_on_startup=True)
async def stubborn(timer):
    await asyncio.sleep(0.5)
    note("begun")
    while True:
        try: {sleep}
        except asyncio.CancelledError: note("ignored")
"""
    with emulator(make_app(tmp_path / "app", source)) as host:
        wait_until(noted(host.app, "begun"), seconds=10, what="the run has begun")
        host.process.signal(signal.SIGINT)
        assert 2.5 < seconds_to_end(host) < 6


def test_a_second_sigint_ends_at_once(tmp_path: Path) -> None:
    """Runs are not waited for, and the exit code is that of an interrupted program."""
    app = make_app(tmp_path / "app", TICK_WITH_TASK.replace("__LONG__", "True").replace("0.3", "60"))
    with emulator(app) as host:
        wait_until(noted(app, "begun"), seconds=10, what="the run has begun")
        host.process.signal(signal.SIGINT)
        host.wait_for_log("The emulator is stopping")
        began = time.monotonic()
        host.process.signal(signal.SIGINT)
        assert host.process.wait() == 130
        assert time.monotonic() - began < 1
    assert notes(app) == ["begun"]


def test_sigint_while_the_app_is_loaded_ends_without_a_traceback(tmp_path: Path) -> None:
    """The exit code is that of an interrupted program."""
    starting = Emulator(make_app(tmp_path / "app", f"note('loading'); time.sleep(1)\n{HELLO}"))
    wait_until(noted(starting.app, "loading"), seconds=10, what="the app is being loaded")
    starting.process.signal(signal.SIGINT)
    assert starting.process.wait() == 130
    assert "Traceback" not in starting.log


def test_sigterm_of_an_idle_emulator_ends_it_at_once(tmp_path: Path) -> None:
    """Nothing runs and nothing is due, so there is nothing to wait for."""
    source = f"""{HELLO}
@app.timer_trigger(schedule="0 0 0 1 1 *", arg_name="timer")
def yearly(timer): ...
"""
    with emulator(make_app(tmp_path / "app", source)) as host:
        host.wait_for_log("yearly: next run")
        host.process.signal(signal.SIGTERM)
        assert seconds_to_end(host) < 2


OVERRUNNING = """
@app.timer_trigger(schedule="* * * * * *", arg_name="timer")
async def tick(timer):
    note("begin")
    try: await asyncio.sleep(1.4)
    except asyncio.CancelledError: note("cancelled")
    note("end")
"""


def test_after_sigterm_timers_go_on_and_open_calls_are_answered(tmp_path: Path) -> None:
    """New connections are refused. After the grace period the process ends, even in the middle of a run."""
    with emulator(make_app(tmp_path / "app", SLOW_CALL + OVERRUNNING), "--grace", "4") as host:
        wait_until(noted(host.app, "begin"), seconds=10, what="a run has begun")
        call = Call(host, "/api/slow/2")
        signalled = time.time()
        host.process.signal(signal.SIGTERM)
        host.wait_for_log("The emulator is stopping")
        wait_until(lambda: refuses(host.port), seconds=2, what="new connections are refused")
        host.process.signal(signal.SIGTERM)  # a second signal changes nothing
        assert call.answer() == (200, "done")
        assert host.process.wait() == 0
        ended = time.time()
        assert "Something still runs: the process ends in the middle of it." in host.log
    assert 3.9 < ended - signalled < 5.5
    begun = [when for what, when in moments(host.app) if what == "begin" and when > signalled]
    assert len(begun) >= 2
    assert "cancelled" not in notes(host.app)
    assert notes(host.app)[-1] == "begin"


def refuses(port: int) -> bool:
    """Whether the port accepts no connection."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def test_sigterm_does_not_wait_for_tasks_that_runs_have_left_behind(tmp_path: Path) -> None:
    """They are not cancelled either, so they cannot clean up."""
    app = make_app(tmp_path / "app", TICK_WITH_TASK.replace("__LONG__", "False"))
    with emulator(app) as host:
        wait_until(noted(app, "over"), seconds=10, what="the run is over")
        host.process.signal(signal.SIGTERM)
        assert seconds_to_end(host) < 2
    assert notes(app) == ["over"]


def test_after_sigterm_a_sigint_still_lets_runs_clean_up(tmp_path: Path) -> None:
    """With Ctrl-C, the user does not have to wait for the grace period."""
    app = make_app(tmp_path / "app", TICK_WITH_TASK.replace("__LONG__", "True"))
    with emulator(app) as host:
        wait_until(noted(app, "begun"), seconds=10, what="the run has begun")
        host.process.signal(signal.SIGTERM)
        host.wait_for_log("The emulator is stopping")
        host.process.signal(signal.SIGINT)
        assert seconds_to_end(host) < 3
    assert "tick cleaned up" in notes(app)
