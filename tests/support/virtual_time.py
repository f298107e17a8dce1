"""Time that a test owns: an event loop that jumps to its next timer, and clocks of hosts that disagree about it.

A simulated hour takes as long as its events do. `loop.time()` is the true time; nobody but the tests sees it.
"""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
_NANOSECOND = 1e-9
_LONG_IO_SECONDS = 1.0  # real ones; I/O that takes longer waits for a timer itself, such as one between two tries

Result = TypeVar("Result")


class _JumpingSelector(selectors.DefaultSelector):
    """Instead of waiting for a timer it moves the time there; real I/O is waited for, and time stands still."""

    def __init__(self, loop: "VirtualLoop") -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        if self._loop.pending_io:
            ready = super().select(None if timeout is None else _LONG_IO_SECONDS)
        elif timeout is None:
            raise RuntimeError("every task waits for something that will never happen")
        if not ready and timeout is not None:
            self._loop.jump(timeout)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop with a time of its own. Whoever does real I/O counts it in `pending_io`."""

    def __init__(self) -> None:
        self.pending_io = 0
        self._now = 0.0
        super().__init__(_JumpingSelector(self))

    def time(self) -> float:
        """The true time in seconds, from zero."""
        return self._now

    def jump(self, seconds: float) -> None:
        """Let time pass; a nanosecond more, so that the timer which is waited for is over."""
        self._now += seconds + _NANOSECOND


def true_time() -> float:
    """The time on the running loop."""
    return asyncio.get_running_loop().time()


def runner() -> asyncio.Runner:
    """Run several coroutines, one after the other, in one virtual time; a context manager."""
    return asyncio.Runner(loop_factory=VirtualLoop)


def run(main: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
    """Run one scenario from time zero to its end."""
    with runner() as one:
        return one.run(main())


class HostClock:
    """A host's clocks: the monotonic one starts anywhere and runs at `rate`, the wall clock is off by `wall_offset`.

    A frozen host does not notice: whatever it waits for is over only when it goes on. A sleep may end `early`: an event
    loop's timers are as exact as its clock's resolution, which is 16 ms on some systems.
    """

    def __init__(self, *, base: float = 0.0, rate: float = 1.0, wall_offset: float = 0.0, early: float = 0.0) -> None:
        self._base = base
        self._rate = rate
        self._wall_offset = wall_offset
        self._early = early
        self.frozen_until = 0.0

    def monotonic(self) -> float:
        return self._base + true_time() * self._rate

    def now(self) -> datetime:
        return EPOCH + timedelta(seconds=true_time() * self._rate + self._wall_offset)

    async def sleep(self, seconds: float) -> None:
        least = min(seconds, 0.001)
        await asyncio.sleep(max(least, seconds - self._early) / self._rate)
        await self.thawed()

    def freeze(self, seconds: float) -> None:
        """Let nothing that waits now go on before this long, on true time."""
        self.frozen_until = true_time() + seconds

    async def thawed(self) -> None:
        """Return when the host is not frozen."""
        while (left := self.frozen_until - true_time()) > 0:  # it may be prolonged meanwhile
            await asyncio.sleep(left)
