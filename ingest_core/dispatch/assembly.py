"""Puts the parts of the dispatcher together."""

from collections.abc import Callable
from dataclasses import dataclass

from ingest_core.dispatch.dispatcher import Dispatcher
from ingest_core.dispatch.gate import Gate
from ingest_core.dispatch.look import Look
from ingest_core.dispatch.running import Running
from ingest_core.dispatch.settlement import Rules
from ingest_core.ports import Clock, Source
from ingest_core.storage.stores import Stores


@dataclass(frozen=True, kw_only=True)
class DispatchParts:
    """The dispatcher of one process, and its parts."""

    dispatcher: Dispatcher
    gate: Gate
    look: Look
    running: Running


def make_dispatcher(
    stores: Stores,
    *,
    source: Source,
    clock: Clock,
    rules: Rules,
    source_timeout_seconds: float,
    lease_seconds: float,
    max_in_flight: int,
    is_orphaned: Callable[[], bool] = lambda: False,
) -> DispatchParts:
    """Make the dispatcher of one process with its parts."""
    gate = Gate(stores.gate, clock, interval=rules.interval)
    running = Running(
        stores, gate=gate, source=source, source_timeout_seconds=source_timeout_seconds, clock=clock, rules=rules
    )
    look = Look(stores, gate=gate, running=running, clock=clock)
    dispatcher = Dispatcher(
        stores,
        gate=gate,
        look=look,
        running=running,
        clock=clock,
        lease_seconds=lease_seconds,
        max_in_flight=max_in_flight,
        is_orphaned=is_orphaned,
    )
    return DispatchParts(dispatcher=dispatcher, gate=gate, look=look, running=running)
