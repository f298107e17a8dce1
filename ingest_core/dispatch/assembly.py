"""Puts the parts of the dispatcher together."""

from collections.abc import Callable
from dataclasses import dataclass

from ingest_core.dispatch.dispatcher import Dispatcher
from ingest_core.dispatch.gate import Gate
from ingest_core.dispatch.look import Look
from ingest_core.dispatch.running import Running
from ingest_core.dispatch.settlement import Rules
from ingest_core.ports import Clock, Source, Storage
from ingest_core.storage.backlog import Backlog
from ingest_core.storage.closing import Closing
from ingest_core.storage.gate_row import GateTable
from ingest_core.storage.history import History
from ingest_core.storage.ingestions import Ingestions
from ingest_core.storage.lanes import Lanes


@dataclass(frozen=True, kw_only=True)
class Stores:
    """The tables and queues of a storage account, wrapped in the service's own terms."""

    ingestions: Ingestions
    lanes: Lanes
    backlog: Backlog
    history: History
    gate: GateTable
    closing: Closing


def open_stores(storage: Storage, *, sends_events: bool) -> Stores:
    """Wrap the tables and queues."""
    backlog, history = Backlog(storage.backlog), History(storage.history)
    send_event = storage.put_event if sends_events else None
    return Stores(
        ingestions=Ingestions(storage.ingestions),
        lanes=Lanes(storage.lanes),
        backlog=backlog,
        history=history,
        gate=GateTable(storage.dispatch),
        closing=Closing(backlog=backlog, history=history, send_event=send_event),
    )


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
        gate=gate,
        source=source,
        source_timeout_seconds=source_timeout_seconds,
        ingestions=stores.ingestions,
        lanes=stores.lanes,
        closing=stores.closing,
        clock=clock,
        rules=rules,
    )
    look = Look(
        ingestions=stores.ingestions,
        lanes=stores.lanes,
        backlog=stores.backlog,
        gate=gate,
        running=running,
        clock=clock,
    )
    dispatcher = Dispatcher(
        gate=gate,
        look=look,
        running=running,
        ingestions=stores.ingestions,
        lanes=stores.lanes,
        closing=stores.closing,
        clock=clock,
        lease_seconds=lease_seconds,
        max_in_flight=max_in_flight,
        is_orphaned=is_orphaned,
    )
    return DispatchParts(dispatcher=dispatcher, gate=gate, look=look, running=running)
