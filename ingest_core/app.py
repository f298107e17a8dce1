"""The composition root: settings and adapters become a running service. Nothing else reads the environment.

Nothing raises at import or construction: the Functions host would then answer 404 to everything and keep the reason to
itself. Wrong settings are one log line each, and every call answers 503 with their names.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from ingest_core.adapters.clock import SystemClock
from ingest_core.api import Answer, Context, Handler, Request, problem_answer
from ingest_core.board import board_text
from ingest_core.dispatcher import Dispatcher
from ingest_core.errors import InvalidSettings, Problem, StorageError
from ingest_core.gate import RateGate
from ingest_core.health import Health, check_health
from ingest_core.ingestions import Ingestions
from ingest_core.lanes import Lanes
from ingest_core.ports import Clock, Source, Storage
from ingest_core.recovery import recover
from ingest_core.service import Service
from ingest_core.settings import Settings, read_settings, schedule_of, unknown_settings
from ingest_core.settlement import Rules, Settlement

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Core:
    """The parts of a running service, wired together."""

    context: Context
    dispatcher: Dispatcher
    ingestions: Ingestions
    lanes: Lanes
    storage: Storage
    source: Source
    clock: Clock


def assemble(settings: Settings, *, storage: Storage, source: Source, clock: Clock) -> Core:
    """Wire the service to its adapters."""
    ingestions = Ingestions(storage.ingestions)
    lanes = Lanes(storage.lanes)
    interval, lease = settings.interval, settings.lease_seconds
    gate = RateGate(storage.dispatch, clock, interval=interval, lease=lease)
    rules = Rules(max_attempts=settings.max_attempts, interval=interval, max_retry_after=settings.max_retry_after)
    settlement = Settlement(ingestions=ingestions, lanes=lanes, gate=gate, clock=clock, rules=rules)

    async def health() -> Health:
        return await check_health(dispatch=storage.dispatch, lanes=lanes, clock=clock, interval=interval, lease=lease)

    async def board() -> str:
        return await board_text(await health(), ingestions=ingestions, clock=clock, interval=interval)

    service = Service(ingestions=ingestions, lanes=lanes, clock=clock, batch_size=settings.batch_size)
    return Core(
        context=Context(service=service, health=health, board=board, max_ids=settings.max_ids, interval=interval),
        dispatcher=Dispatcher(
            ingestions=ingestions,
            lanes=lanes,
            gate=gate,
            source=source,
            source_timeout_seconds=settings.source_timeout,
            settlement=settlement,
            clock=clock,
        ),
        ingestions=ingestions,
        lanes=lanes,
        storage=storage,
        source=source,
        clock=clock,
    )


class App:
    """The service as its triggers see it; its parts are made once, on the event loop that first calls."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.schedule = schedule_of(environ)
        self._core: Core | None = None
        self._settings: Settings | None = None
        self._problems = ""
        for name in unknown_settings(environ):
            log.warning("setting.unknown %s: this service has no setting of that name", name)
        try:
            self._settings = read_settings(environ)
        except InvalidSettings as error:
            self._refuse(error)

    async def handle(self, handler: Handler, request: Request) -> Answer:
        """Answer a request, whatever happens."""
        core = self._assembled()
        if core is None:
            return problem_answer(Problem(503, "A setting is wrong", f"Mend the app settings: {self._problems}."))
        try:
            return await handler(core.context, request)
        except Problem as problem:
            return problem_answer(problem)
        except StorageError as error:
            log.error("request.storage_unavailable error=%s", error)  # noqa: TRY400 # one line, and the trace says no more
            return problem_answer(
                Problem(
                    503,
                    "Storage cannot be reached",
                    "Try again later: a POST may have taken effect all the same, so send its Idempotency-Key with it. "
                    "The log of the service says what is wrong.",
                    headers={"Retry-After": core.context.retry_after},
                )
            )
        except Exception:
            log.exception("request.failed")
            return problem_answer(Problem(500, "Internal error", "The log of the service says what went wrong."))

    async def tick(self) -> None:
        """Dispatch at most one batch."""
        core = self._assembled()
        if core is None:
            log.error("dispatch.refused settings=%s", self._problems)
            return
        try:
            await core.dispatcher.tick()
        except StorageError as error:
            log.error("dispatch.storage_unavailable error=%s retry=next_tick", error)  # noqa: TRY400 # one line a tick

    async def recover(self) -> None:
        """Put lost messages back."""
        core = self._assembled()
        if core is None:
            return
        try:
            await recover(core.ingestions, core.lanes, core.clock)
        except StorageError as error:
            log.error("recover.storage_unavailable error=%s retry=in_ten_minutes", error)  # noqa: TRY400 # as above

    async def close(self) -> None:
        """Let go of connections. The Functions host never asks for it; whoever ends an event loop should."""
        if self._core:
            await self._core.storage.close()
            await self._core.source.close()

    def _assembled(self) -> Core | None:
        if self._core is None and self._settings is not None:
            try:
                self._core = _build(self._settings)
                log.info("service.assembled %s", _in_words(self._settings))
            except InvalidSettings as error:
                self._settings = None
                self._refuse(error)
        return self._core

    def _refuse(self, error: InvalidSettings) -> None:
        self._problems = "; ".join(error.problems)
        for problem in error.problems:
            log.error("setting.wrong %s", problem)


def _in_words(settings: Settings) -> str:
    """What an operator wants to be sure of; a URL and headers may hold keys."""
    return (
        f"source={settings.source} interval_seconds={settings.interval:g} lease_seconds={settings.lease_seconds:g}"
        f" batch_size={settings.batch_size}"
    )


def _build(settings: Settings) -> Core:
    """Make the adapters of a deployed service. Raises `InvalidSettings`."""
    from ingest_core.adapters.azure import AzureStorage  # noqa: PLC0415 # 0.3 s that the answer to a wrong setting need not wait for
    from ingest_core.adapters.sources import make_source  # noqa: PLC0415 # as above

    clock = SystemClock()
    try:
        storage = AzureStorage(settings.connection_string)
    except ValueError:
        raise InvalidSettings(["AzureWebJobsStorage: is not a connection string of a storage account"]) from None
    return assemble(settings, storage=storage, source=make_source(settings, clock), clock=clock)
