"""The nouns of the service: frozen values that every layer shares.

A batch only moves forward (`yet_to_start → triggered → completed | failed`), and the batches of an ingestion run
strictly in order. So a cursor, the flight of its batch and a bitmap of the failed ones give the status of every batch,
and the transitions below are the only ways in which an ingestion changes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from uuid import UUID


class Priority(StrEnum):
    """A lane. Declared in dispatch order: a lane is served only while all the lanes before it are empty."""

    HIGH = "HIGH"
    MEDIUM = "MEDIUM"
    LOW = "LOW"


class Status(StrEnum):
    """Where an ingestion or a batch stands; the last two are final."""

    YET_TO_START = "yet_to_start"
    TRIGGERED = "triggered"
    COMPLETED = "completed"
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True)
class Flight:
    """The batch at the cursor, from its first start until it ends.

    `attempts` counts its starts, `failures` those that its IDs are to blame for; a start that a crash cut off is an
    attempt and no failure. `held_until` is set while the external API has asked to wait.
    """

    triggered_at: datetime
    attempts: int = 1
    failures: int = 0
    error: str = ""
    held_until: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Ingestion:
    """An accepted request, without its IDs.

    `finished_batches` is the cursor; `failed` the bitmap of the failed ones among them; `error_count` the number of IDs
    that ended with an error. `slot` is the fencing token of the latest start of any of its batches.
    """

    ingestion_id: UUID
    priority: Priority
    created_at: datetime
    queued_at: datetime
    id_count: int
    batch_size: int
    digest: str
    retry_of: UUID | None = None
    finished_batches: int = 0
    failed: bytes = b""
    error_count: int = 0
    slot: int = 0
    flight: Flight | None = None

    @property
    def batch_count(self) -> int:
        """How many batches the IDs make; the last one may be shorter."""
        return -(-self.id_count // self.batch_size)

    @property
    def finished(self) -> bool:
        """Whether every batch has ended."""
        return self.finished_batches >= self.batch_count

    @property
    def status(self) -> Status:
        """The status of the whole."""
        if self.finished:
            return Status.FAILED if any(self.failed) else Status.COMPLETED
        return Status.TRIGGERED if self.finished_batches or self.flight else Status.YET_TO_START

    def batch_failed(self, index: int) -> bool:
        """Whether one batch has failed for good."""
        byte = index >> 3
        return byte < len(self.failed) and bool(self.failed[byte] >> (index & 7) & 1)

    def batch_status(self, index: int) -> Status:
        """The status of one batch."""
        if index < self.finished_batches:
            return Status.FAILED if self.batch_failed(index) else Status.COMPLETED
        if index == self.finished_batches and self.flight:
            return Status.TRIGGERED
        return Status.YET_TO_START

    def triggered(self, *, slot: int, at: datetime) -> "Ingestion":
        """The cursor's batch is about to start in this slot."""
        before = self.flight
        flight = (
            replace(before, attempts=before.attempts + 1, triggered_at=at, held_until=None)
            if before
            else Flight(triggered_at=at)
        )
        return replace(self, slot=slot, flight=flight)

    def given_up(self) -> "Ingestion":
        """Nothing was sent in the end, so the start does not count."""
        flight = self._in_flight()
        return replace(self, flight=replace(flight, attempts=flight.attempts - 1))

    def attempt_failed(self, error: str) -> "Ingestion":
        """The start came to nothing because of the batch's IDs; it is tried again in a new slot."""
        flight = self._in_flight()
        return replace(self, flight=replace(flight, failures=flight.failures + 1, error=error))

    def held(self, error: str, *, until: datetime) -> "Ingestion":
        """The start came to nothing because the API asked to wait: the attempt is not counted."""
        flight = self._in_flight()
        return replace(self, flight=replace(flight, attempts=flight.attempts - 1, error=error, held_until=until))

    def batch_ended(self, *, failed: bool, error_count: int = 0) -> "Ingestion":
        """The cursor's batch has ended, so many of its IDs with an error, and the cursor moves on."""
        bitmap = bytearray(self.failed)
        if failed:
            byte, bit = divmod(self.finished_batches, 8)
            bitmap.extend(bytes(max(0, byte + 1 - len(bitmap))))
            bitmap[byte] |= 1 << bit
        return replace(
            self,
            finished_batches=self.finished_batches + 1,
            failed=bytes(bitmap),
            error_count=self.error_count + error_count,
            flight=None,
        )

    def _in_flight(self) -> Flight:
        if self.flight is None:
            raise ValueError(f"no batch of ingestion {self.ingestion_id} is in flight")
        return self.flight


@dataclass(frozen=True, kw_only=True)
class Item:
    """What became of one ID: its JSON text in `data`, or why there is none in `error`."""

    item_id: int
    data: str = ""
    error: str = ""


@dataclass(frozen=True, kw_only=True)
class BatchRecord:
    """How a batch ended; written once, never changed."""

    index: int
    status: Status
    attempts: int
    triggered_at: datetime
    completed_at: datetime
    error: str = ""
    items: Sequence[Item] = field(default=())
