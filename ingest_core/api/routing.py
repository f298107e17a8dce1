"""Says what a handler is, and turns every call into an answer, also after a wrong method, an error or a fault."""

import logging
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from uuid import UUID

from ingest_core.api.messages import Answer, Request
from ingest_core.api.problems import (
    INTERNAL_ERROR,
    WRONG_SETTING,
    Problem,
    problem_answer,
    problem_of,
    wrong_method,
)
from ingest_core.errors import IngestError, StorageError, UnknownIngestion
from ingest_core.ports import Clock
from ingest_core.service.health import Health
from ingest_core.service.service import Service, Summary

log = logging.getLogger(__name__)

LONGEST_POLL_SECONDS = 60


@dataclass(frozen=True, kw_only=True)
class Context:
    """What handlers need."""

    service: Service
    health: Callable[[], Awaitable[Health]]
    clock: Clock
    max_ids: int
    interval: float

    @property
    def retry_after(self) -> str:
        """The interval in whole seconds, rounded up, but at most `LONGEST_POLL_SECONDS`."""
        return self._seconds(self.interval)

    def next_change(self, summary: Summary) -> str:
        """How long to wait for an open ingestion's next change: a batch's end, or the next start."""
        if summary.ingestion.in_flight:
            return self.retry_after
        if summary.forecast is None:
            return str(LONGEST_POLL_SECONDS)
        left = (summary.forecast.starts_at - self.clock.now()).total_seconds()
        return self._seconds(max(self.interval, left))

    def _seconds(self, seconds: float) -> str:
        return str(min(LONGEST_POLL_SECONDS, max(1, math.ceil(seconds))))


Handler = Callable[[Context, Request], Awaitable[Answer]]


async def respond(context: Context, handler: Handler, request: Request) -> Answer:
    """Answer a request, whatever happens."""
    try:
        return await handler(context, request)
    except Problem as problem:
        return problem_answer(problem)
    except IngestError as error:
        if isinstance(error, StorageError):
            log.error("request.storage_unavailable error=%s", error)  # noqa: TRY400 # one line: the trace says no more
        return problem_answer(problem_of(error, retry_after=context.retry_after))
    except Exception:
        log.exception("request.failed")
        return problem_answer(Problem(INTERNAL_ERROR, "The log of the service says what went wrong."))


def wrong_settings_answer(problems: str) -> Answer:
    """The answer to every request while a setting is wrong."""
    return problem_answer(Problem(WRONG_SETTING, f"Fix the app settings: {problems}."))


def resource(**methods: Handler) -> Handler:
    """A handler for each method of one path; HEAD is answered as GET, any other method with 405."""
    handlers: dict[str, Handler] = {}
    for method, handler in methods.items():
        handlers[method] = handler
        if method == "GET":
            handlers["HEAD"] = handler
    allow = ", ".join(handlers)

    async def dispatch(context: Context, request: Request) -> Answer:
        handler = handlers.get(request.method.upper())
        if handler is None:
            raise wrong_method(allow)
        return await handler(context, request)

    return dispatch


def path_id(request: Request) -> UUID:
    """The ID in the path. Raises `UnknownIngestion`, also for another form of a UUID, such as braces around it."""
    text = request.path["ingestion_id"]
    try:
        parsed = UUID(text)
    except ValueError:
        raise UnknownIngestion("not a UUID") from None
    if str(parsed) != text.lower():
        raise UnknownIngestion("not in the form of an ingestion_id")
    return parsed
