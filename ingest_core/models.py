"""The nouns of the service: frozen values that every layer uses.

A batch only moves forward (`yet_to_start → triggered → completed | failed | cancelled`). Batches start in order but may
end in any order. So an ingestion knows how many batches were ever started, which of them have not ended, and which have
failed or were cancelled. The status of every batch follows from that. An ingestion changes only through the methods
that return a new `Ingestion`.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from struct import pack
from uuid import UUID

from ingest_core.errors import AlreadyEnded

MAX_IN_FLIGHT_PER_INGESTION = 32
"""An ingestion with this many batches in flight starts no further batch, so that its row stays small."""

MAX_ERROR_BYTES = 200
"""The longest JSON of an error text in the ingestion row."""


class Priority(StrEnum):
    """A lane. The order is that of dispatch: a lane is served only if no lane before it has a batch that may start."""

    HIGH = "HIGH"
    MEDIUM = "MEDIUM"
    LOW = "LOW"


class Status(StrEnum):
    """The status of an ingestion or a batch. The last three are final."""

    YET_TO_START = "yet_to_start"
    TRIGGERED = "triggered"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, kw_only=True)
class IngestRequest:
    """A validated list. IDs keep their order and their duplicates."""

    ids: Sequence[int]
    priority: Priority
    label: str = ""

    @property
    def digest(self) -> str:
        """A hash that is equal for requests with equal values, however their JSON was written."""
        packed = pack(f"<{len(self.ids)}I", *self.ids)
        label = f"{self.label}\0" if self.label else ""
        return hashlib.sha256(f"{self.priority}\0{label}".encode() + packed).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Flight:
    """A batch that was started and has not ended. It is *running* while its fetch is under way, else it *waits*."""

    index: int
    #: The gate's token of the latest start. Only the process that made this start may end the batch.
    token: str
    running: bool
    #: Gate age of the latest start, and for how many seconds of gate time after it others leave the batch alone.
    age: float
    lease: float
    #: Wall-clock time of the latest start, for people.
    started_at: datetime
    #: Starts, without those that were undone before anything was sent and those that the API throttled.
    attempts: int
    #: Failed attempts that count. The batch fails when there are `INGEST_MAX_ATTEMPTS` of them.
    failures: int = 0
    #: Starts since the end of an attempt was last recorded. If a batch kills its host, this number only grows.
    unrecorded: int = 0
    #: Gate age before which a waiting batch does not start.
    not_before: float = 0.0
    error: str = ""

    def is_abandoned(self, age: float) -> bool:
        """Whether the process that runs the batch is known to be gone at this gate age."""
        return self.running and age - self.age >= self.lease

    def may_start(self, age: float) -> bool:
        """Whether another attempt may start at this gate age."""
        return self.is_abandoned(age) if self.running else age >= self.not_before


@dataclass(frozen=True, kw_only=True)
class Ingestion:
    """An accepted list, without its IDs."""

    ingestion_id: UUID
    priority: Priority
    created_at: datetime
    queued_at: datetime
    id_count: int
    batch_size: int
    digest: str
    label: str = ""
    #: How often the priority was changed. A message of an older generation is stale.
    generation: int = 0
    #: Whether the message of this generation is known to be in its queue.
    is_queued: bool = True
    #: If this is a retry: the first ingestion of the chain of retries.
    retry_of: UUID | None = None
    #: If this is the first ingestion of a chain: how many retries it has.
    retries: int = 0
    #: The number of batches that were ever started, those that have not ended, and a bitmap of the failed batches.
    started_batches: int = 0
    in_flight: tuple[Flight, ...] = ()
    failed: bytes = b""
    #: Batches that were started, and were cancelled before they had ended.
    cancelled_batches: tuple[int, ...] = ()
    #: IDs that ended with an error instead of data.
    error_count: int = 0
    cancel_requested_at: datetime | None = None
    cancel_reason: str = ""
    ended_at: datetime | None = None

    @property
    def batch_count(self) -> int:
        """The number of batches. The last batch may be shorter than the others."""
        return -(-self.id_count // self.batch_size)

    @property
    def has_ended(self) -> bool:
        """Whether all batches have ended. A cancelled ingestion has ended when none of its batches is in flight."""
        everything_started = self.started_batches >= self.batch_count
        return not self.in_flight and (everything_started or self.cancel_requested_at is not None)

    @property
    def status(self) -> Status:
        """The status of the ingestion."""
        if not self.has_ended:
            return Status.TRIGGERED if self.started_batches else Status.YET_TO_START
        if self.cancelled_count:
            return Status.CANCELLED
        return Status.FAILED if any(self.failed) else Status.COMPLETED

    @property
    def failed_count(self) -> int:
        """How many batches have failed."""
        return sum(byte.bit_count() for byte in self.failed)

    @property
    def cancelled_count(self) -> int:
        """How many batches were cancelled."""
        never_started = self.batch_count - self.started_batches if self.cancel_requested_at else 0
        return never_started + len(self.cancelled_batches)

    @property
    def completed_count(self) -> int:
        """How many batches have completed."""
        return self.started_batches - len(self.in_flight) - self.failed_count - len(self.cancelled_batches)

    @property
    def batches_to_start(self) -> int:
        """The least number of starts that are needed until the ingestion has ended."""
        if self.cancel_requested_at:
            return 0
        return self.batch_count - self.started_batches + sum(not flight.running for flight in self.in_flight)

    @property
    def first_open_batch(self) -> int:
        """The first batch that has not ended; the batch count if all have."""
        if self.has_ended:
            return self.batch_count
        return min((flight.index for flight in self.in_flight), default=self.started_batches)

    def flight(self, index: int) -> Flight | None:
        """The batch in flight with this index."""
        return next((flight for flight in self.in_flight if flight.index == index), None)

    def has_batch_failed(self, index: int) -> bool:
        """Whether the batch has ended as failed."""
        byte = index >> 3
        return byte < len(self.failed) and bool(self.failed[byte] >> (index & 7) & 1)

    def batch_status(self, index: int) -> Status:
        """The status of one batch."""
        if index >= self.started_batches:
            return Status.CANCELLED if self.cancel_requested_at else Status.YET_TO_START
        if self.flight(index):
            return Status.TRIGGERED
        if index in self.cancelled_batches:
            return Status.CANCELLED
        return Status.FAILED if self.has_batch_failed(index) else Status.COMPLETED

    def batch_that_may_start(self, age: float, *, running_here: frozenset[int] = frozenset()) -> int | None:
        """The first batch that may start at this gate age. Batches in `running_here` run here and may not."""
        if self.cancel_requested_at:
            return None
        for flight in self.in_flight:
            if flight.index not in running_here and flight.may_start(age):
                return flight.index
        all_started = self.started_batches >= self.batch_count
        if all_started or len(self.in_flight) >= MAX_IN_FLIGHT_PER_INGESTION:
            return None
        return self.started_batches

    def batch_started(self, index: int, *, token: str, age: float, lease: float, at: datetime) -> "Ingestion":
        """Mark the batch as running, before it is sent."""
        before = self.flight(index)
        flight = Flight(
            index=index,
            token=token,
            running=True,
            age=age,
            lease=lease,
            started_at=at,
            attempts=before.attempts + 1 if before else 1,
            failures=before.failures if before else 0,
            unrecorded=before.unrecorded + 1 if before else 1,
            error=before.error if before else "",
        )
        return replace(self._with(flight), started_batches=max(self.started_batches, index + 1))

    def start_undone(self, index: int, token: str, *, was_sent: bool) -> "Ingestion | None":
        """Undo a start whose fetch was not finished. The attempt counts only if it was sent.

        None if another process has started the batch since.
        """
        flight = self._running(index, token)
        if flight is None:
            return None
        attempts = flight.attempts if was_sent else flight.attempts - 1
        return self._waits(replace(flight, attempts=attempts))

    def attempt_failed(
        self, index: int, token: str, *, error: str, counts: bool, not_before: float
    ) -> "Ingestion | None":
        """Record a failed attempt; another may start later. None if another process has started the batch since."""
        flight = self._running(index, token)
        if flight is None:
            return None
        failures = flight.failures + 1 if counts else flight.failures
        return self._waits(replace(flight, failures=failures, error=cut_error(error), not_before=not_before))

    def throttled(self, index: int, token: str, *, error: str) -> "Ingestion | None":
        """Undo the counted attempt: the API asked to wait. None if another process has started the batch since."""
        flight = self._running(index, token)
        if flight is None:
            return None
        return self._waits(replace(flight, attempts=flight.attempts - 1, error=cut_error(error)))

    def batch_ended(self, index: int, token: str, *, has_failed: bool, error_count: int) -> "Ingestion | None":
        """Record the end of the batch. None if another process has started the batch since."""
        flight = self.flight(index)
        if flight is None or flight.token != token:
            return None
        failed = bytearray(self.failed)
        if has_failed:
            byte, bit = divmod(index, 8)
            failed.extend(bytes(max(0, byte + 1 - len(failed))))
            failed[byte] |= 1 << bit
        return replace(self._without(index), failed=bytes(failed), error_count=self.error_count + error_count)

    def cancelled(self, *, reason: str, at: datetime) -> "Ingestion":
        """Cancel every batch that is not running. Running batches end as usual. Repeating it changes nothing.

        Raises `AlreadyEnded` if the ingestion has completed or failed.
        """
        if self.cancel_requested_at:
            return self
        if self.has_ended:
            raise AlreadyEnded(f"it is {self.status}")
        waiting = tuple(flight.index for flight in self.in_flight if not flight.running)
        return replace(
            self,
            cancel_requested_at=at,
            cancel_reason=reason,
            in_flight=tuple(flight for flight in self.in_flight if flight.running),
            cancelled_batches=self.cancelled_batches + waiting,
        )

    def abandoned_batches_cancelled(self, *, age: float) -> "Ingestion | None":
        """Cancel the batches of a cancelled ingestion whose process is gone. None if there are no such batches."""
        gone = tuple(flight.index for flight in self.in_flight if flight.is_abandoned(age))
        if not gone or not self.cancel_requested_at:
            return None
        left = tuple(flight for flight in self.in_flight if flight.index not in gone)
        return replace(self, in_flight=left, cancelled_batches=self.cancelled_batches + gone)

    def moved(self, priority: Priority, *, at: datetime) -> "Ingestion":
        """Move the ingestion to another lane; its message must be put there next. Raises `AlreadyEnded`."""
        if self.has_ended or self.cancel_requested_at:
            raise AlreadyEnded(f"it is {self.status}" if self.has_ended else "a cancel was asked for")
        return replace(self, priority=priority, generation=self.generation + 1, is_queued=False, queued_at=at)

    def queued(self, generation: int, *, at: datetime) -> "Ingestion | None":
        """Record that the message of this generation is in its queue. None if it has moved or ended since."""
        if self.has_ended or self.generation != generation:
            return None
        return replace(self, is_queued=True, queued_at=at)

    def with_end(self, at: datetime) -> "Ingestion":
        """Add the time of the end if the ingestion has just ended. Apply this last, before a change is written."""
        return replace(self, ended_at=at) if self.has_ended and self.ended_at is None else self

    def _running(self, index: int, token: str) -> Flight | None:
        flight = self.flight(index)
        return flight if flight and flight.running and flight.token == token else None

    def _waits(self, flight: Flight) -> "Ingestion":
        """Let the batch wait for another attempt, or cancel it if its ingestion is cancelled."""
        if self.cancel_requested_at is None:
            return self._with(replace(flight, running=False, unrecorded=0))
        return replace(self._without(flight.index), cancelled_batches=(*self.cancelled_batches, flight.index))

    def _with(self, flight: Flight) -> "Ingestion":
        others = self._without(flight.index).in_flight
        return replace(self, in_flight=tuple(sorted((*others, flight), key=lambda each: each.index)))

    def _without(self, index: int) -> "Ingestion":
        return replace(self, in_flight=tuple(flight for flight in self.in_flight if flight.index != index))


@dataclass(frozen=True, kw_only=True)
class Item:
    """The result of one ID: its JSON text in `data`, or the reason why there is none in `error`.

    `is_final` is false if another attempt might still have delivered the ID.
    """

    item_id: int
    data: str = ""
    error: str = ""
    is_final: bool = True


@dataclass(frozen=True, kw_only=True)
class BatchRecord:
    """How a batch ended. It is written once and never changed. `token` belongs to the start that ended the batch."""

    index: int
    status: Status
    attempts: int
    triggered_at: datetime
    completed_at: datetime
    token: str = ""
    error: str = ""
    items: Sequence[Item] = ()


def cut_error(text: str) -> str:
    """Shorten an error text so that its JSON takes at most 200 bytes, and make it valid Unicode."""
    text = text.encode(errors="replace").decode()  # half of a surrogate pair cannot be written as UTF-8
    while len(json.dumps(text)) > MAX_ERROR_BYTES:
        text = text[: max(1, len(text) * 3 // 4)]
    return text
