"""Calls a source for several IDs at the same time. Each call ends in time, and as a value.

Whatever a call raises becomes an error for its IDs alone, so that one bad answer cannot end a tick.
"""

import asyncio
import traceback
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

from ingest_core.errors import AttemptFailed, SourceError
from ingest_core.ports import Answer

T = TypeVar("T")

_STOP_SECONDS = 1.0
"""How long a call that was cancelled may take to end. A call that takes longer is left alone; its answer is dropped."""


async def fetch_each(
    fetch: Callable[[int], Awaitable[str]], ids: Sequence[int], *, timeout_seconds: float
) -> Sequence[Answer]:
    """Call `fetch` once for each ID; this is `Source.fetch_batch` for an API that takes one ID per call."""
    return await call_all([partial(fetch, item_id) for item_id in ids], timeout_seconds=timeout_seconds)


async def call_all(calls: Sequence[Callable[[], Awaitable[T]]], *, timeout_seconds: float) -> Sequence[T | SourceError]:
    """Make all calls at the same time and return their results in order.

    If a call raises a `SourceError`, that is its result. Any other exception counts as `AttemptFailed`, with its trace
    as `log_text`. So does a call that has not ended after `timeout_seconds`; that call is cancelled.
    """
    tasks = [asyncio.ensure_future(_settle(call)) for call in calls]
    try:
        in_time, _ = await asyncio.wait(tasks, timeout=timeout_seconds)
    finally:
        await _stop(tasks)
    late = AttemptFailed(f"the source did not answer within {timeout_seconds:g} s")
    return [task.result() if task in in_time else late for task in tasks]


async def _settle(call: Callable[[], Awaitable[T]]) -> T | SourceError:
    try:
        return await call()
    except SourceError as error:
        return error
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        # Nobody cancelled this task: the source cancelled something of its own and let the error escape.
        text = f"source.call_failed {traceback.format_exc()}"
        return AttemptFailed("the source's own call was cancelled; the log has the trace", log_text=text)
    except (Exception, BaseExceptionGroup, SystemExit) as error:  # noqa: BLE001 # a source must not end the process either
        text = f"source.call_failed {traceback.format_exc()}"
        return AttemptFailed(f"the source raised {type(error).__name__}; the log has the trace", log_text=text)


async def _stop(tasks: Sequence[asyncio.Future[T]]) -> None:
    running = [task for task in tasks if not task.done()]
    for task in running:
        task.cancel()
    if running:
        await asyncio.wait(running, timeout=_STOP_SECONDS)
