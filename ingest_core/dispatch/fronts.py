"""Decides from the messages at the fronts of the lanes whether an open ingestion has its message."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from ingest_core.models import Ingestion, Priority
from ingest_core.ports import PEEKED, Message
from ingest_core.storage.backlog import OpenIngestion, row_key
from ingest_core.storage.lanes import ticket_of

CLOCK_MARGIN = timedelta(minutes=1)
"""The clocks of the table service and the queue service may differ by this much."""

_UNKNOWN = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Front:
    """The messages at the front of a lane, as a peek has shown them."""

    #: The youngest generation of each ingestion that has a message among them.
    generations: Mapping[UUID, int]
    #: When the youngest of these messages was put into the queue; None if the lane has no further messages.
    reaches_to: datetime | None

    def lacks(self, ingestion_id: UUID, generation: int, *, queued: datetime | None) -> bool:
        """Whether an ingestion's message is lost. `queued` is when it was put, on storage's clock, if known.

        There are two cases. If the peek has shown the whole lane, every message must be in it. Otherwise every message
        must be in it that was put before the youngest message of the peek.
        """
        if self.generations.get(ingestion_id, -1) >= generation:
            return False
        if self.reaches_to is None:
            return True
        return queued is not None and queued < self.reaches_to - CLOCK_MARGIN


Fronts = Mapping[Priority, Front]


@dataclass(frozen=True, kw_only=True)
class Suspect:
    """An ingestion to check. `row` is its backlog row if that can be read, `key` the row's key if there is a row."""

    ingestion_id: UUID
    row: OpenIngestion | None = None
    key: str | None = None

    @property
    def place(self) -> tuple[bool, datetime]:
        """The sort key by which lost messages are put back: the order in which they were queued, as far as known."""
        return self.row is None, self.row.queued_at if self.row else _UNKNOWN

    def seems_lost(self, fronts: Fronts) -> bool:
        """Whether the lane and generation in the backlog row have no message."""
        row = self.row
        return row is not None and fronts[row.priority].lacks(row.ingestion_id, row.generation, queued=row.touched_at)

    def is_lost(self, ingestion: Ingestion, fronts: Fronts) -> bool:
        """Whether the lane and generation in the ingestion row have no message."""
        row = self.row
        queued = row.touched_at if row and not differs(row, ingestion) else None
        front = fronts[ingestion.priority]
        return not ingestion.is_queued or front.lacks(ingestion.ingestion_id, ingestion.generation, queued=queued)

    def agrees_with(self, ingestion: Ingestion) -> bool:
        """Whether the backlog row has the values of the ingestion row."""
        row = self.row
        return row is not None and not differs(row, ingestion) and row.row_key == row_key(ingestion)


def differs(row: OpenIngestion, ingestion: Ingestion) -> bool:
    """Whether a backlog row has another lane or generation than the ingestion row."""
    return row.generation != ingestion.generation or row.priority is not ingestion.priority


def suspect_of(row: OpenIngestion) -> Suspect:
    """The suspect for a backlog row."""
    return Suspect(ingestion_id=row.ingestion_id, row=row, key=row.row_key)


def front_of(messages: Sequence[Message]) -> Front:
    """The front that these peeked messages make."""
    generations: dict[UUID, int] = {}
    for ticket in filter(None, map(ticket_of, messages)):
        generations[ticket.ingestion_id] = max(ticket.generation, generations.get(ticket.ingestion_id, 0))
    may_be_more = len(messages) >= PEEKED
    return Front(
        generations=generations,
        reaches_to=max(message.inserted_on for message in messages) if may_be_more else None,
    )


def ids_at(fronts: Fronts) -> set[UUID]:
    """The ingestions that have a message at a front."""
    return {ingestion_id for front in fronts.values() for ingestion_id in front.generations}
