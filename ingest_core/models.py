"""The nouns of the service: frozen values that every layer shares.

A batch moves forward only (`yet_to_start → triggered → completed | failed | cancelled`). Batches start in order but may
end in any order, so an ingestion holds how many were ever started and which of those have not ended. The status of
every batch follows from these two. The methods that return a new `Ingestion` are the only ways in which it changes.
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
"""With so many batches in flight an ingestion starts no further one, so that its row stays small."""

MAX_ERROR_BYTES = 200
"""What the JSON of an error text may take in the ingestion row."""


class Priority(StrEnum):
    """A lane. Declared in dispatch order: a lane is served only if no lane before it has a batch that may start."""

    HIGH = "HIGH"
    MEDIUM = "MEDIUM"
    LOW = "LOW"


class Status(StrEnum):
    """Where an ingestion or a batch stands; the last three are final."""

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
        """Equal for requests with equal values, however their JSON was written."""
        packed = pack(f"<{len(self.ids)}I", *self.ids)
        label = f"{self.label}\0" if self.label else ""
        return hashlib.sha256(f"{self.priority}\0{label}".encode() + packed).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Flight:
    """A batch that was started and has not ended. It is *running* while its fetch is under way, else it *waits*."""

    index: int
    #: The gate's token for the latest start: only the process that holds it may end the batch.
    token: str
    running: bool
    #: Gate age of the latest start, and for how many seconds of gate time its process is taken to be alive.
    age: float
    lease: float
    #: The wall clock at the latest start; for people.
    started_at: datetime
    #: Starts at which something was sent.
    attempts: int
    #: Attempts that failed and count; the batch fails with `INGEST_MAX_ATTEMPTS` of them.
    failures: int = 0
    #: Starts since anybody recorded how one ended. A batch that kills its host raises it for ever.
    unrecorded: int = 0
    #: Gate age before which a waiting batch is left alone.
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
    #: Counts changes of priority: a message of an older generation is stale.
    generation: int = 0
    #: Whether the message of this generation is known to be in its queue.
    is_queued: bool = True
    #: The first ingestion of a chain of retries, if this is a retry; and how many retries the first one has.
    retry_of: UUID | None = None
    retries: int = 0
    #: Batches that were ever started; those of them that have not ended; bitmap of the failed ones.
    started_batches: int = 0
    in_flight: tuple[Flight, ...] = ()
    failed: bytes = b""
    #: Batches that were started and then cancelled before they had ended.
    cancelled_batches: tuple[int, ...] = ()
    #: IDs that ended with an error instead of data.
    error_count: int = 0
    cancel_requested_at: datetime | None = None
    cancel_reason: str = ""
    ended_at: datetime | None = None

    @property
    def batch_count(self) -> int:
        """How many batches the IDs make; the last one may be shorter."""
        return -(-self.id_count // self.batch_size)

    @property
    def has_ended(self) -> bool:
        """Whether every batch has ended, or nothing of a cancelled ingestion is in flight."""
        everything_started = self.started_batches >= self.batch_count
        return not self.in_flight and (everything_started or self.cancel_requested_at is not None)

    @property
    def status(self) -> Status:
        """The status of the whole."""
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
        """How many starts are needed at least until the ingestion has ended."""
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

    def batch_failed(self, index: int) -> bool:
        """Whether one batch has failed for good."""
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
        return Status.FAILED if self.batch_failed(index) else Status.COMPLETED

    def batch_that_may_start(self, age: float, *, running_here: frozenset[int] = frozenset()) -> int | None:
        """The first batch that may start at this gate age; `running_here` are known to be alive in this process."""
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
        """The batch is about to be sent."""
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
        """The start came to nothing: it counts only if something was sent. None if the batch is another process's."""
        flight = self._running(index, token)
        if flight is None:
            return None
        attempts = flight.attempts if was_sent else flight.attempts - 1
        return self._waits(replace(flight, attempts=attempts))

    def attempt_failed(
        self, index: int, token: str, *, error: str, counts: bool, not_before: float
    ) -> "Ingestion | None":
        """The attempt failed, and another one may start later. None if the batch is another process's."""
        flight = self._running(index, token)
        if flight is None:
            return None
        failures = flight.failures + 1 if counts else flight.failures
        return self._waits(replace(flight, failures=failures, error=cut_error(error), not_before=not_before))

    def throttled(self, index: int, token: str, *, error: str) -> "Ingestion | None":
        """The API asked to wait, so the attempt does not count. None if the batch is another process's."""
        flight = self._running(index, token)
        if flight is None:
            return None
        return self._waits(replace(flight, attempts=flight.attempts - 1, error=cut_error(error)))

    def batch_ended(self, index: int, token: str, *, has_failed: bool, error_count: int) -> "Ingestion | None":
        """The batch has ended. None if it is not this start's to end."""
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
        """Whatever is not running is cancelled; what runs will end. Repeating it changes nothing.

        Raises `AlreadyEnded` if it has completed or failed.
        """
        if self.cancel_requested_at:
            return self
        if self.has_ended:
            raise AlreadyEnded(f"the ingestion is {self.status}")
        waiting = tuple(flight.index for flight in self.in_flight if not flight.running)
        return replace(
            self,
            cancel_requested_at=at,
            cancel_reason=reason,
            in_flight=tuple(flight for flight in self.in_flight if flight.running),
            cancelled_batches=self.cancelled_batches + waiting,
        )

    def abandoned_batches_cancelled(self, *, age: float) -> "Ingestion | None":
        """Batches of a cancelled ingestion whose processes are gone will never end. None if there are none."""
        gone = tuple(flight.index for flight in self.in_flight if flight.is_abandoned(age))
        if not gone or not self.cancel_requested_at:
            return None
        left = tuple(flight for flight in self.in_flight if flight.index not in gone)
        return replace(self, in_flight=left, cancelled_batches=self.cancelled_batches + gone)

    def moved(self, priority: Priority, *, at: datetime) -> "Ingestion":
        """It goes to the back of another lane, where its message is not yet. Raises `AlreadyEnded`."""
        if self.has_ended or self.cancel_requested_at:
            raise AlreadyEnded("the ingestion has ended, or a cancel was asked for")
        return replace(self, priority=priority, generation=self.generation + 1, is_queued=False, queued_at=at)

    def queued(self, generation: int, *, at: datetime) -> "Ingestion | None":
        """The message of this generation is in its queue. None if it has moved since, or has ended."""
        if self.has_ended or self.generation != generation:
            return None
        return replace(self, is_queued=True, queued_at=at)

    def with_end(self, at: datetime) -> "Ingestion":
        """The same, with the time of its end if it has just ended. Whoever writes a change applies this last."""
        return replace(self, ended_at=at) if self.has_ended and self.ended_at is None else self

    def _running(self, index: int, token: str) -> Flight | None:
        flight = self.flight(index)
        return flight if flight and flight.running and flight.token == token else None

    def _waits(self, flight: Flight) -> "Ingestion":
        """The batch waits for another attempt, or is cancelled if its ingestion is."""
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
    """What became of one ID: its JSON text in `data`, or why there is none in `error`.

    `is_final` is false for the IDs of a failed batch that another attempt might have delivered.
    """

    item_id: int
    data: str = ""
    error: str = ""
    is_final: bool = True


@dataclass(frozen=True, kw_only=True)
class BatchRecord:
    """How a batch ended; written once, never changed. `token` is the start that ended it."""

    index: int
    status: Status
    attempts: int
    triggered_at: datetime
    completed_at: datetime
    token: str = ""
    error: str = ""
    items: Sequence[Item] = ()


def cut_error(text: str) -> str:
    """An error text that can be stored, and whose JSON takes at most 200 bytes."""
    text = text.encode(errors="replace").decode()  # half of a surrogate pair cannot be written as UTF-8
    while len(json.dumps(text)) > MAX_ERROR_BYTES:
        text = text[: max(1, len(text) * 3 // 4)]
    return text
