"""The tables and queues of a storage account, wrapped in the service's own terms."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ingest_core.ports import Storage
from ingest_core.storage.backlog import Backlog
from ingest_core.storage.closing import Closing
from ingest_core.storage.gate_row import GateTable
from ingest_core.storage.history import History
from ingest_core.storage.ingestions import Ingestions
from ingest_core.storage.lanes import Lanes


@dataclass(frozen=True, kw_only=True)
class Stores:
    """What one process reads and writes. All its parts share it, so that changes of one ingestion do not conflict."""

    ingestions: Ingestions
    lanes: Lanes
    backlog: Backlog
    history: History
    gate: GateTable
    closing: Closing
    #: The calls that storage does not permit.
    denied_calls: Callable[[], Sequence[str]]


def open_stores(storage: Storage, *, sends_events: bool) -> Stores:
    """Wrap the tables and queues; `sends_events` says whether there is a queue for ended ingestions."""
    backlog, history = Backlog(storage.backlog), History(storage.history)
    send_event = storage.put_event if sends_events else None
    return Stores(
        ingestions=Ingestions(storage.ingestions),
        lanes=Lanes(storage.lanes),
        backlog=backlog,
        history=history,
        gate=GateTable(storage.dispatch),
        closing=Closing(backlog=backlog, history=history, send_event=send_event),
        denied_calls=lambda: storage.denied_calls,
    )
