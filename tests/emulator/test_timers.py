"""Running timers, on the emulator and on fake clocks."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from devtools.child import wait_until
from emulator.invocations import Invocations
from emulator.invoke import Runner
from emulator.timers import Timer
from tests.emulator.emulated import HELLO, emulator, make_app, moments, noted, notes
from tests.emulator.functions import timer_function

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


class FakeClock:
    """A clock that advances only while a timer waits or runs. `set_at` says when the wall clock is set and by what."""

    def __init__(self, *, end: float, set_at: dict[float, timedelta] | None = None) -> None:
        self.seconds = 0.0
        self.ended = asyncio.Event()
        self._end = end
        self._set_at = set_at or {}

    def now(self) -> datetime:
        moment = NOON + timedelta(seconds=self.seconds)
        for seconds, by in self._set_at.items():
            if seconds <= self.seconds:
                moment += by
        return moment

    def monotonic(self) -> float:
        return self.seconds

    async def wait(self, event: asyncio.Event, seconds: float) -> None:
        assert seconds > 0
        assert event is self.ended
        self.pass_time(seconds)

    def pass_time(self, seconds: float) -> None:
        self.seconds = round(self.seconds + seconds, 3)
        if self.seconds >= self._end:
            self.ended.set()


async def starts(clock: FakeClock, schedule: str, *, takes: float = 0.0) -> list[float]:
    """Let a timer listen until the clock's end; return the monotonic seconds at which its runs started."""
    started = []

    async def tick(timer: object) -> None:
        assert timer
        started.append(clock.seconds)
        clock.pass_time(takes)

    runner = Runner(Invocations(), threads=None)
    await Timer(timer_function("tick", schedule, tick), {}, runner, clock=clock).listen(clock.ended)
    return started


async def test_no_tick_is_lost_when_the_clock_is_set_back_an_hour() -> None:
    """The due time is computed again, so that the schedule goes on as before."""
    clock = FakeClock(end=60, set_at={22: -HOUR})
    assert await starts(clock, "*/5 * * * * *") == [5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 55]


async def test_no_tick_is_lost_when_the_clock_is_set_back_during_a_run() -> None:
    """The status after that run was computed with the time before the change."""
    clock = FakeClock(end=60, set_at={6: -HOUR})
    assert await starts(clock, "*/10 * * * * *", takes=7) == [10, 20, 30, 40, 50]
    clock = FakeClock(end=60, set_at={12: -HOUR})
    assert await starts(clock, "*/10 * * * * *", takes=7) == [10, 20, 30, 40, 50]


async def test_a_clock_that_is_set_forward_over_a_due_time_makes_a_single_run() -> None:
    """The timer notices the change within ten seconds, runs at once, and then follows the new time."""
    clock = FakeClock(end=7200, set_at={605: HOUR})  # 12:10:05 becomes 13:10:05
    assert await starts(clock, "0 0 * * * *") == [610, 3600]


async def test_a_due_time_comes_sooner_when_the_clock_is_set_forward() -> None:
    """12:10 becomes 12:40, so 13:00 is twenty minutes away."""
    clock = FakeClock(end=1900, set_at={600: HOUR / 2})
    assert await starts(clock, "0 0 * * * *") == [1800]


@pytest.mark.parametrize("set_by", [HOUR, -HOUR, HOUR / 2])
async def test_a_period_goes_on_when_the_clock_is_set(set_by: timedelta) -> None:
    """A period does not depend on the time of day."""
    clock = FakeClock(end=200, set_at={45: set_by})
    assert await starts(clock, "00:01:00") == [60, 120, 180]


async def test_a_run_that_outlasts_its_interval_is_followed_at_once_by_a_single_run() -> None:
    """Several missed occurrences lead to a single run, and then the schedule goes on."""
    clock = FakeClock(end=60)
    assert await starts(clock, "*/5 * * * * *", takes=23) == [5, 28, 51]


def test_an_overrunning_timer_never_runs_twice_at_a_time(tmp_path: Path) -> None:
    """The next run starts right after the end of the last, and it is not past due."""
    source = """
@app.timer_trigger(schedule="* * * * * *", arg_name="timer")
async def tick(timer):
    note("begin" if not timer.past_due else "past due")
    await asyncio.sleep(1.3)
    note("end")
"""
    with emulator(make_app(tmp_path / "app", source)) as host:
        wait_until(lambda: notes(host.app).count("end") == 3, seconds=15, what="three runs have ended")
    seen = moments(host.app)
    assert [what for what, _ in seen][:6] == ["begin", "end"] * 3
    gaps = [seen[index + 1][1] - seen[index][1] for index in (1, 3)]
    assert min(gaps) >= 0
    assert max(gaps) < 0.5


MONTHLY = """
@app.timer_trigger(schedule="0 0 0 1 * *", arg_name="timer", use_monitor={use_monitor})
def monthly(timer): note(["past due" if timer.past_due else "in time", timer.schedule_status.get("Next", "none")[:4]])
"""


def store_missed_occurrence(status_file: Path) -> None:
    """Change the saved status as if the emulator had last run seventy days ago."""
    long_ago = datetime.now(UTC) - timedelta(days=70)
    month = long_ago.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    due = (month + timedelta(days=32)).replace(day=1)
    status = {"last": long_ago.isoformat(), "due": due.isoformat(), "updated": long_ago.isoformat()}
    status_file.write_text(json.dumps(status))


def test_a_missed_occurrence_is_made_up_for_by_a_single_run(tmp_path: Path) -> None:
    """The run is past due. It happens at the next start, and not again at the start after that."""
    app = make_app(tmp_path / "app", MONTHLY.format(use_monitor=True))
    with emulator(app) as host:
        host.wait_for_log("monthly: next run")
        (status_file,) = host.temporary.rglob("monthly.json")
    assert notes(app) == []
    store_missed_occurrence(status_file)
    for _ in range(2):
        with emulator(app) as host:
            host.wait_for_log("monthly: next run")
        assert [what[0] for what in notes(app) if isinstance(what, list)] == ["past due"]


def test_without_a_monitor_no_occurrence_is_made_up_for(tmp_path: Path) -> None:
    """Nothing is stored, and a run by hand gets no status."""
    app = make_app(tmp_path / "app", MONTHLY.format(use_monitor=False))
    with emulator(app) as host:
        host.wait_for_log("monthly: next run")
        assert not list(host.temporary.rglob("monthly.json"))
        assert host.run("monthly") == 202
        wait_until(lambda: notes(app), seconds=10, what="it has run by hand")
    assert notes(app) == [["in time", "none"]]


def test_a_timer_function_gets_its_schedule(tmp_path: Path) -> None:
    """The cases are NCRONTAB and time spans, with and without a monitor, and the very first start without a status."""
    source = f"""{HELLO}
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
        wait_until(lambda: len(notes(app)) == 2, seconds=10, what="both have run")
    assert sorted(notes(app), key=str) == [
        ["often", False, {"AdjustForDST": False}, [], []],
        ["yearly", False, {"AdjustForDST": True}, ["Last", "LastUpdated", "Next"], ["Last", "LastUpdated"]],
    ]


def test_a_failing_timer_keeps_its_schedule(tmp_path: Path) -> None:
    """A timer that raises, returns a value or raises SystemExit is logged each time and runs again."""
    source = """
@app.timer_trigger(schedule="* * * * * *", arg_name="timer")
def failing(timer):
    note("run")
    runs = Path("notes").read_text().count("run")
    if runs == 1: raise RuntimeError("first")
    if runs == 2: raise SystemExit("second")
    if runs == 3: return "third"
    note("fourth")
"""
    with emulator(make_app(tmp_path / "app", source)) as host:
        wait_until(noted(host.app, "fourth"), seconds=15, what="it runs for the fourth time")
        assert host.log.count("failing: failed after") == 3
        assert "RuntimeError: a timer function must return None" in host.log
