"""The emulator's log: it has the app's lines and failures, and no line of a run that has ended."""

import os
import subprocess
import sys
from pathlib import Path

from devtools.azurite import ROOT
from devtools.child import wait_until
from tests.emulator.emulated import HELLO, emulator, make_app, noted, notes

LEAVES_A_TASK = """
import logging
kept = set()
def leave(coroutine, done=None):
    task = asyncio.create_task(coroutine)
    kept.add(task)
    task.add_done_callback(kept.discard)
    if done: task.add_done_callback(done)
async def nested(what):
    logging.getLogger("app.nested").warning("%s from a task of a task", what)
async def later(what):
    logging.getLogger("app").warning("%s while its run goes on", what)
    await asyncio.sleep(0.2)
    logging.getLogger("app").warning("%s after its run", what)
    await asyncio.create_task(nested(what))
    await asyncio.to_thread(logging.warning, "%s from a thread", what)
    note(f"{what} ended")
"""
DROPPED = "A log line was dropped, as the real host drops it: logger app, message 'timer after its run'."


def test_lines_of_a_run_that_has_ended_are_dropped_with_a_single_warning(tmp_path: Path) -> None:
    """The task itself goes on. Callbacks and threads are not in a task, so their lines are printed."""
    source = f"""{LEAVES_A_TASK}
@app.timer_trigger(schedule="0 0 0 1 1 *", arg_name="timer", run_on_startup=True)
async def tick(timer):
    leave(later("timer"), lambda task: logging.warning("timer from a callback"))
    await asyncio.sleep(0.05)
@app.route(route="call")
async def call(req):
    leave(later("call"))
    await asyncio.sleep(0.05)
    return "called"
"""
    with emulator(make_app(tmp_path / "app", source)) as host:
        wait_until(noted(host.app, "timer ended"), seconds=10, what="the timer's task has ended")
        host.wait_for_log("timer from a callback")
        assert host.ask("GET", "/api/call") == (200, "called")
        wait_until(noted(host.app, "call ended"), seconds=10, what="the call's task has ended")
        log = host.log
    for what in ("timer", "call"):
        assert f"{what} while its run goes on" in log
        assert f"{what} from a thread" in log
        assert f"app: {what} after its run" not in log
        assert f"{what} from a task of a task" not in log
    assert log.count("A log line was dropped") == 1
    assert DROPPED in log
    assert "a run of tick" in log


def test_a_task_logs_under_no_other_run_than_its_own(tmp_path: Path) -> None:
    """Lines of a task that an earlier run left behind are dropped even while the same function runs again."""
    source = f"""{LEAVES_A_TASK}
async def chatter():
    for number in range(100):
        logging.getLogger("app").warning("line %d of the task", number)
        await asyncio.sleep(0.1)
@app.timer_trigger(schedule="* * * * * *", arg_name="timer")
async def tick(timer):
    if not kept: leave(chatter())
    logging.getLogger("app").warning("the tick itself")
    await asyncio.sleep(0.75)
    note("tick")
"""
    with emulator(make_app(tmp_path / "app", source)) as host:
        wait_until(lambda: len(notes(host.app)) == 3, seconds=15, what="it has run three times")
        log = host.log
    assert "line 0 of the task" in log
    assert 1 <= log.count("app: line ") <= 9
    assert log.count("the tick itself") >= 3


def test_an_exception_of_a_task_that_nobody_awaits_is_logged(tmp_path: Path) -> None:
    """It is logged as an error with its traceback, even after its run has ended. The real host logs nothing."""
    source = """
async def wrong():
    await asyncio.sleep(0.2)
    raise RuntimeError("unnoticed")
@app.timer_trigger(schedule="0 0 0 1 1 *", arg_name="timer", run_on_startup=True)
async def tick(timer):
    tick.task = asyncio.create_task(wrong())
    asyncio.get_running_loop().call_later(0.4, delattr, tick, "task")
"""
    source = source.replace("tick.task", "func.task").replace("delattr, tick", "delattr, func")
    with emulator(make_app(tmp_path / "app", source)) as host:
        host.wait_for_log("RuntimeError: unnoticed")
        assert "Task exception was never retrieved\nTraceback (most recent call last):\n" in host.log


def test_a_failing_function_is_logged_from_its_own_code(tmp_path: Path) -> None:
    """The log has its name and duration, and a traceback without frames of the emulator."""
    with emulator(make_app(tmp_path / "app", '@app.route(route="x")\ndef bad(req): return 1 / 0\n')) as host:
        assert host.ask("GET", "/api/x") == (500, "")
        log = host.log[host.log.rindex("bad: ") :].splitlines()
    assert log[0].startswith("bad: failed after ")
    assert log[1] == "Traceback (most recent call last):"
    assert log[2].endswith("in bad")
    assert log[-1] == "ZeroDivisionError: division by zero"


def test_log_records_show_their_message_alone(tmp_path: Path) -> None:
    """The worker drops the fields in `extra`. The log level comes from host.json."""
    source = """
@app.route(route="x")
def logs(req):
    logging.warning("shown %s", "so", extra={"secret": "dropped"})
    logging.info("quiet")
    return ""
"""
    app = make_app(tmp_path / "app", source, host={"logging": {"logLevel": {"default": "Warning"}}})
    with emulator(app) as host:
        assert host.ask("GET", "/api/x")[0] == 200
        assert "shown so" in host.log
        assert "dropped" not in host.log
        assert "quiet" not in host.log


TICKING = f"""{HELLO}
@app.timer_trigger(schedule="* * * * * *", arg_name="timer")
def tick(timer): note("tick")
"""


def test_runs_and_requests_that_succeed_are_not_logged(tmp_path: Path) -> None:
    """Otherwise ticks and polls would hide the failures in the log."""
    with emulator(make_app(tmp_path / "app", TICKING)) as host:
        before = host.log
        assert host.ask("GET", "/api/hello") == (200, "hello")
        assert host.ask("GET", "/api/nowhere") == (404, "")
        wait_until(lambda: len(notes(host.app)) == 2, seconds=10, what="it has run twice")
        assert [line for line in host.log[len(before) :].splitlines() if "next run" not in line] == []


def test_verbose_logs_every_run_and_request(tmp_path: Path) -> None:
    """A line has the function's name, its duration, and how it ended."""
    with emulator(make_app(tmp_path / "app", TICKING), "--verbose") as host:
        assert host.ask("GET", "/api/hello") == (200, "hello")
        assert host.ask("GET", "/api/nowhere") == (404, "")
        host.wait_for_log("GET /api/nowhere: no function")
        host.wait_for_log(" ms, ok")
        lines = host.log.splitlines()
    assert any("hello: " in line and line.endswith(" ms, 200") for line in lines)
    assert any("tick: " in line and line.endswith(" ms, ok") for line in lines)


def test_a_line_that_the_terminal_cannot_show_is_printed_with_codes() -> None:
    """A path or a label may hold any character."""
    program = """if True:
        import logging
        from emulator.log import set_up_logging
        set_up_logging("information", logging.Filter(), verbose=False)
        logging.info("J\\xf6rg")"""
    done = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, "PYTHONIOENCODING": "ascii"}, capture_output=True,
        cwd=ROOT, check=True,
    )  # fmt: skip
    assert b"root: J\\xf6rg" in done.stdout
    assert not done.stderr
