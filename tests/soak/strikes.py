"""The attack: kills at random moments, and freezes, some of them aimed at what a process is about to do."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random
from threading import Event, Thread

from tests.soak.api import Api
from tests.soak.callers import Callers
from tests.soak.fleet import Fleet


def kill_hosts(
    fleet: Fleet,
    callers: Callers,
    random: Random,
    *,
    kills: int,
    seconds: tuple[float, float],
    progress: Callable[[int], None],
) -> None:
    """Kill one host after another, each while it is being called, and start another in its place."""
    at = time.monotonic()
    for number in range(1, kills + 1):
        at = max(at + random.uniform(*seconds), time.monotonic())
        while time.monotonic() < at:
            progress(number - 1)
            time.sleep(min(0.25, max(0.0, at - time.monotonic())))
        victim = random.choice(sorted(fleet.hosts))
        callers.post_in_background(fleet.hosts[victim].port)
        time.sleep(random.uniform(0, 0.03))
        fleet.kill(victim)
        fleet.start()
    progress(kills)


@contextmanager
def freezing(fleet: Fleet, api: Api, random: Random, *, lease: float, answer_seconds: float) -> Iterator[None]:
    """Meanwhile suspend one host at a time until its lease must have run out, and let it go on as a zombie."""
    stopping = Event()

    def go_on() -> None:
        while not stopping.wait(random.uniform(1, 3)):
            victim = _victim(fleet, api, random, answer_seconds, stopping)
            if victim and fleet.freeze(victim):
                stopping.wait(lease + random.uniform(0, 2))
                fleet.thaw(victim)

    thread = Thread(target=go_on)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()


def _victim(fleet: Fleet, api: Api, random: Random, answer_seconds: float, stopping: Event) -> str | None:
    """Anybody at any time; or who has just asked the API; or who has just been answered and is about to write."""
    aim = random.choice(("anybody", "asking", "writing"))
    if aim == "anybody":
        return random.choice(sorted(fleet.hosts))
    known = len(api.arrivals())
    while len(arrivals := api.arrivals()) == known:
        if stopping.wait(0.005):
            return None
    time.sleep(0.0 if aim == "asking" else answer_seconds + random.uniform(0, 0.02))
    return arrivals[known].process
