"""The composition root: makes a running service from settings and adapters. Only this module reads the environment.

Nothing raises at import or construction, because the Functions host would then answer 404 to everything and not say
why. Instead, each wrong setting is a log line, and every call answers 503 with the names of the wrong settings.
"""

import logging
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ingest_core.api.messages import Answer, Request
from ingest_core.api.routing import Context, Handler, respond, wrong_settings_answer
from ingest_core.clock import SystemClock
from ingest_core.dispatch.assembly import DispatchParts, make_dispatcher
from ingest_core.dispatch.dispatcher import Dispatcher
from ingest_core.dispatch.settlement import Rules
from ingest_core.dispatch.upkeep import Upkeep
from ingest_core.errors import InvalidSettings, StorageError
from ingest_core.ports import Clock, Source, Storage
from ingest_core.service.health import HealthCheck
from ingest_core.service.service import Service
from ingest_core.service.state import read_state
from ingest_core.settings import Settings, read_settings, schedule_of, slow_schedule_message, unknown_settings
from ingest_core.storage.stores import Stores, open_stores

log = logging.getLogger(__name__)

STATE_SECONDS = 60.0
"""The least time between two log lines with the service's state. They are written at the end of a tick."""


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The parts of a running service, wired together."""

    context: Context
    stores: Stores
    dispatch: DispatchParts
    upkeep: Upkeep
    storage: Storage
    source: Source
    clock: Clock

    @property
    def dispatcher(self) -> Dispatcher:
        """What the timer runs."""
        return self.dispatch.dispatcher


def assemble(
    settings: Settings,
    *,
    storage: Storage,
    source: Source,
    clock: Clock,
    is_orphaned: Callable[[], bool] = lambda: False,
) -> Parts:
    """Wire the service to its adapters."""
    stores = open_stores(storage, sends_events=bool(settings.ended_queue))
    rules = Rules(
        max_attempts=settings.max_attempts, interval=settings.interval, max_retry_after=settings.max_retry_after
    )
    dispatch = make_dispatcher(
        stores,
        source=source,
        clock=clock,
        rules=rules,
        source_timeout_seconds=settings.source_timeout,
        lease_seconds=settings.lease_seconds,
        max_in_flight=settings.max_in_flight,
        is_orphaned=is_orphaned,
    )
    return Parts(
        context=_context(settings, stores, clock),
        stores=stores,
        dispatch=dispatch,
        upkeep=Upkeep(
            stores, gate_age=dispatch.dispatcher.gate_age, clock=clock, retention_days=settings.retention_days
        ),
        storage=storage,
        source=source,
        clock=clock,
    )


class App:
    """The service as the triggers use it. Its parts are made at the first call, on that call's event loop."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.schedule = schedule_of(environ)
        self._environ = environ
        self._parts: Parts | None = None
        self._settings: Settings | None = None
        self._problems = ""
        self._state_logged_at: float | None = None
        for name in unknown_settings(environ):
            log.warning("setting.unknown %s: this service has no setting of that name", name)
        try:
            self._settings = read_settings(environ)
        except InvalidSettings as error:
            self._report_wrong_settings(error)
            return
        if message := slow_schedule_message(environ, interval=self._settings.interval):
            log.warning("setting.slow %s", message)

    async def handle(self, handler: Handler, request: Request) -> Answer:
        """Answer a request. It never raises: every error becomes an answer."""
        parts = self._assembled()
        if parts is None:
            return wrong_settings_answer(self._problems)
        return await respond(parts.context, handler, request)

    async def tick(self) -> None:
        """Run one tick of the dispatcher, and log the service's state once a minute."""
        parts = self._assembled()
        if parts is None:
            log.error("dispatch.wrong_settings settings=%s", self._problems)
            return
        try:
            await parts.dispatcher.tick()
            await self._log_state(parts)
        except StorageError as error:
            log.error("dispatch.storage_unavailable error=%s retry=next_tick", error)  # noqa: TRY400 # one line a tick

    async def keep_up(self) -> None:
        """Run upkeep: recover lost messages, close ended ingestions, and delete old ones."""
        parts = self._assembled()
        if parts is None:
            return
        try:
            report = await parts.upkeep.run()
            log.info("upkeep.done %s", report)
        except StorageError as error:
            log.error("upkeep.storage_unavailable error=%s retry=in_ten_minutes", error)  # noqa: TRY400 # as above

    async def close(self) -> None:
        """Stop all batches and close connections. The Functions host never calls this; code that ends a loop should."""
        if self._parts:
            await self._parts.dispatcher.stop()
            await self._parts.storage.close()
            await self._parts.source.close()

    async def _log_state(self, parts: Parts) -> None:
        now = parts.clock.monotonic()
        if self._state_logged_at is not None and now - self._state_logged_at < STATE_SECONDS:
            return
        self._state_logged_at = now
        state = await read_state(parts.stores, parts.clock, running=parts.dispatcher.running)
        log.info("service.state %s", state)

    def _assembled(self) -> Parts | None:
        if self._parts is None and self._settings is not None:
            try:
                self._parts = _build(self._settings, self._environ)
                log.info("service.assembled %s", _summary(self._settings))
            except InvalidSettings as error:
                self._settings = None
                self._report_wrong_settings(error)
        return self._parts

    def _report_wrong_settings(self, error: InvalidSettings) -> None:
        self._problems = "; ".join(error.problems)
        for problem in error.problems:
            log.error("setting.wrong %s", problem)


def _context(settings: Settings, stores: Stores, clock: Clock) -> Context:
    service = Service(stores, clock=clock, batch_size=settings.batch_size, interval=settings.interval)
    health = HealthCheck(stores, clock=clock, interval=settings.interval, lease=settings.lease_seconds)
    return Context(
        service=service, health=health.look, clock=clock, max_ids=settings.max_ids, interval=settings.interval
    )


def _summary(settings: Settings) -> str:
    """The settings for the log. The URL and the headers are left out, because they may contain keys."""
    return (
        f"source={settings.source} interval_seconds={settings.interval:g} lease_seconds={settings.lease_seconds:g}"
        f" batch_size={settings.batch_size} max_in_flight={settings.max_in_flight}"
        f" retention_days={settings.retention_days}"
    )


def _build(settings: Settings, environ: Mapping[str, str]) -> Parts:
    """Make the adapters of a deployed service. Raises `InvalidSettings`."""
    # Imported here, because these take 0.3 s, and the answer to a wrong setting should not wait for them.
    from ingest_core.source.choose import make_source  # noqa: PLC0415 # as said above
    from ingest_core.storage.azure import AzureStorage  # noqa: PLC0415 # as said above
    from ingest_core.storage.connection import read_connection  # noqa: PLC0415 # as said above

    clock = SystemClock()
    storage = AzureStorage(read_connection(environ), ended_queue=settings.ended_queue)
    source = make_source(
        name=settings.source,
        batch_size=settings.batch_size,
        timeout_seconds=settings.source_timeout,
        delay_seconds=settings.source_delay,
        url_template=settings.source_url,
        headers=settings.source_headers,
        environ=environ,
        clock=clock,
    )
    return assemble(settings, storage=storage, source=source, clock=clock, is_orphaned=_orphan_check())


def _orphan_check() -> Callable[[], bool]:
    """Return a function that tells whether the host of this worker is gone.

    A killed host leaves its Python worker running, and the worker then has another parent. A process without a worker
    ID in its command line is not a worker, so the function always returns False there.
    """
    if not any(word.lower().startswith(("--workerid", "--functions-worker-id")) for word in sys.argv):
        return lambda: False
    parent = os.getppid()
    return lambda: os.getppid() != parent
