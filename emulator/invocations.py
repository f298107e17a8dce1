"""Knows which run of a function each task belongs to, and drops the log lines of tasks whose run has ended.

A run is a timer run or an HTTP call. Its own task belongs to it, and so does every task that is created in it, directly
or indirectly. The real host drops the log lines of a run that has ended, so the emulator does too. There are three
cases:

- A task logs while its run is under way: the line is printed.
- A task logs after its run has ended: the line is dropped. The task itself is not disturbed.
- A done callback or a thread logs: neither is in a task, so the line is always printed.

A task that a run creates through `loop.call_soon` belongs to that run. On the real host it belongs to the function that
ran last, so no app can rely on it.
"""

import asyncio
import contextvars
import logging
from collections.abc import Coroutine, Generator
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from emulator.log import log, traceback_of

T = TypeVar("T")
AnyCoroutine = Coroutine[Any, Any, T] | Generator[Any, None, T]


class Invocation:
    """A run of a function."""

    def __init__(self, function_name: str, *, is_http: bool) -> None:
        self.function_name = function_name
        self.is_http = is_http
        self.is_over = False


_invocation: contextvars.ContextVar[Invocation | None] = contextvars.ContextVar("invocation", default=None)


class Invocations:
    """The runs of this process and the tasks that belong to them."""

    def __init__(self) -> None:
        self._owners = WeakKeyDictionary[asyncio.Task[Any], Invocation]()

    def follow(self, loop: asyncio.AbstractEventLoop) -> None:
        """From now on, record the run of each new task of the loop, and log exceptions that nobody handles."""
        loop.set_task_factory(self._create_task)
        loop.set_exception_handler(_log_unhandled)

    async def run(self, invocation: Invocation, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run the coroutine in a task that belongs to the invocation; the invocation is over when it ends."""

        async def run_and_mark_over() -> T:
            try:
                return await coroutine
            finally:
                invocation.is_over = True

        context = contextvars.copy_context()
        context.run(_invocation.set, invocation)
        return await asyncio.create_task(run_and_mark_over(), context=context)

    async def cancel(self, seconds: float) -> None:
        """Cancel all tasks, except those of HTTP calls that are under way, and wait until they have ended.

        This also waits for tasks that a cancelled task creates to clean up. After `seconds` it stops waiting.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        pending = self._tasks_to_cancel()
        for task in pending:
            task.cancel()
        while pending and loop.time() < deadline:
            ended, _ = await asyncio.wait(pending, timeout=deadline - loop.time())
            for task in ended:
                _log_failure(task)
            pending = self._tasks_to_cancel()

    def _tasks_to_cancel(self) -> set[asyncio.Task[Any]]:
        tasks = set()
        for task, invocation in list(self._owners.items()):
            is_open_call = invocation.is_http and not invocation.is_over
            if not task.done() and not is_open_call:
                tasks.add(task)
        return tasks

    def _create_task(
        self,
        loop: asyncio.AbstractEventLoop,
        coroutine: AnyCoroutine[T],
        *,
        context: contextvars.Context | None = None,
        **options: Any,  # noqa: ANN401 - Python 3.13.3 and later pass all options of create_task
    ) -> asyncio.Task[T]:
        task: asyncio.Task[T] = asyncio.Task(coroutine, loop=loop, context=context, **options)
        invocation = _invocation.get() if context is None else context.get(_invocation)
        if invocation is not None:
            self._owners[task] = invocation
        return task


class EndedRunFilter(logging.Filter):
    """Drops the log lines of runs that have ended, and warns about the first of these lines."""

    def __init__(self) -> None:
        super().__init__()
        self._has_warned = False

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is printed. The emulator's own lines always are."""
        invocation = _invocation_of_current_task()
        if record.name == log.name or invocation is None or not invocation.is_over:
            return True
        if not self._has_warned:
            self._has_warned = True
            log.warning(
                "A log line was dropped, as the real host drops it: logger %s, message %r. A task that a run of %s"
                " created has logged it after that run had ended. Log it in a run that is under way."
                " Further lines of this kind are dropped without a warning.",
                record.name,
                record.getMessage(),
                invocation.function_name,
            )
        return False


def _invocation_of_current_task() -> Invocation | None:
    try:
        task = asyncio.current_task()
    except RuntimeError:  # a thread without an event loop
        return None
    return None if task is None else _invocation.get()


def _log_failure(task: asyncio.Task[Any]) -> None:
    if not task.cancelled() and (error := task.exception()):
        log.error("A task failed while it was cancelled:\n%s", traceback_of(error))


def _log_unhandled(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log what asyncio reports, above all a failed task whose result nobody has awaited."""
    error = context.get("exception")
    details = f"\n{traceback_of(error)}" if error else ""
    log.error("%s%s", context["message"], details)
