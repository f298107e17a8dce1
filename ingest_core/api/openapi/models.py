"""What the service answers, as models: the OpenAPI document is made from them, and nothing else uses them.

The views write their JSON by hand, because a status may have 33 334 batches. So that the two stay the same, the tests
check every answer against the document, and no model allows a field that it does not name.
"""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue, RootModel

from ingest_core.models import Priority, Status

Count = Annotated[int, Field(ge=0)]
Moment = AwareDatetime
LastStart = Annotated[
    Moment | None,
    Field(description="When the latest batch started. It may lie a moment ahead: a slot is taken before its start."),
]
Switch = Literal["ALL", "HIGH", "MEDIUM", "LOW"]


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Accepted(_Answer):
    """A list was accepted, and is stored."""

    ingestion_id: UUID


class Retried(Accepted):
    """What was left to fetch of an ingestion was accepted as a new ingestion."""

    retry_of: UUID = Field(description="The first ingestion of a chain of retries.")


class Counts(_Answer):
    """How many IDs and batches there are, and how many batches have which status."""

    ids: Count
    errors: Count = Field(description="IDs that ended with an error instead of data.")
    batches: Count
    yet_to_start: Count
    triggered: Count
    completed: Count
    failed: Count
    cancelled: Count


class Forecast(_Answer):
    """When batches start at the earliest: later lists in higher lanes and repeated attempts only delay them."""

    ingestions_ahead: Count
    batches_ahead: Count = Field(description="Batches that start before the next batch of this ingestion.")
    starts_at: Moment = Field(description="When its next batch starts.")
    ends_at: Moment = Field(description="When its last batch starts.")


class InFlight(_Answer):
    """A batch that was started and has not ended: it runs, or waits for another attempt."""

    batch_id: UUID
    running: bool
    attempts: Count = Field(description="Starts that count.")
    failures: Count = Field(description="Attempts that failed; after `INGEST_MAX_ATTEMPTS` of them the batch fails.")
    triggered_at: Moment
    error: str | None = Field(description="Why the latest attempt failed.")


class _Named(_Answer):
    ingestion_id: UUID
    label: str | None
    status: Status
    priority: Priority
    created_at: Moment
    retry_of: UUID | None = Field(description="The first ingestion of a chain of retries; null if this is no retry.")


class _State(_Named):
    queued_at: Moment = Field(description="When it came to its lane: at first, or by a change of priority.")
    ended_at: Moment | None
    cancel_requested_at: Moment | None
    cancel_reason: str | None
    retries: Count = Field(description="How many retries of it there are.")
    retried_by: UUID | None = Field(description="The last of these retries.")
    counts: Counts
    in_flight: list[InFlight]


class Summary(_State):
    """An ingestion without its batches."""

    forecast: Forecast | None = Field(
        description="Null once it has ended, and while its lane is paused without an end."
    )


class Batch(_Answer):
    """Consecutive IDs of a list, which are fetched together."""

    batch_id: UUID
    ids: list[int]
    status: Status


class IngestionStatus(_State):
    """An ingestion with all its batches, in the order of the list."""

    batches: list[Batch]


class BatchRecord(Batch):
    """How a batch went."""

    attempts: Count
    triggered_at: Moment | None = Field(description="When its latest attempt started.")
    completed_at: Moment | None = Field(description="When it ended.")
    error: str | None


class BatchPage(_Answer):
    """Some batches of an ingestion; the header `Link` names the next page."""

    batches: list[BatchRecord]


class Delivered(_Answer):
    """An ID and what the external API has delivered for it: any JSON."""

    id: int
    data: JsonValue


class NotDelivered(_Answer):
    """An ID and why there is no data for it."""

    id: int
    error: str


class Next(_Answer):
    """The last line of results that are not complete: where to go on."""

    next: str


class Result(RootModel[Delivered | NotDelivered | Next]):
    """One line of results, or one element of their array."""


class ListedIngestion(_Named):
    """An ingestion as lists show it."""

    ended_at: Moment | None
    counts: Counts
    forecast: Forecast | None


class IngestionPage(_Answer):
    """Some ingestions, newest first."""

    ingestions: list[ListedIngestion]
    next_cursor: str | None = Field(description="The `cursor` of the next page with the same filters; null at the end.")


class Pause(_Answer):
    """A person has paused a lane, or all of them."""

    reason: str | None
    since: Moment
    until: Moment | None = Field(description="When the pause ends by itself.")


class Throttled(_Answer):
    """The external API has asked to wait, or cannot be reached: nothing starts."""

    until: Moment
    reason: str


class Running(_Answer):
    """A batch whose fetch is under way. Batches are counted from one."""

    ingestion_id: UUID
    label: str | None
    priority: Priority
    batch: Annotated[int, Field(ge=1)]
    of: Annotated[int, Field(ge=1)]
    since: Moment


class FrontIngestion(_Answer):
    """An ingestion at the front of its lane."""

    ingestion_id: UUID
    label: str | None
    status: Status
    counts: Counts
    forecast: Forecast | None


class Lane(_Answer):
    """What waits with one priority."""

    paused: Pause | None
    ingestions: Count
    batches: Count = Field(description="Batches that have to start, a repeated attempt included.")
    oldest_at: Moment | None = Field(description="When the oldest of them came to the lane.")
    new_list_starts_at: Moment | None = Field(description="When a list that is submitted now would start.")
    front: list[FrontIngestion] = Field(description="Down to the first list that was never started.")


class LaneByPriority(_Answer):
    """The lanes, in the order in which they are served."""

    HIGH: Lane
    MEDIUM: Lane
    LOW: Lane


class Lanes(_Answer):
    """What waits, what runs, and what delays it."""

    now: Moment
    interval_seconds: float
    last_start_at: LastStart
    next_slot_at: Moment = Field(description="When the next batch may start, throttling included.")
    throttled: Throttled | None
    down_since: str | None = Field(description="Since when the external API is taken to be down.")
    trouble: str | None = Field(
        description="What is wrong inside the service, in words: ends of batches that cannot be written."
    )
    paused: Pause | None = Field(description="The pause of everything; lanes have their own.")
    running: list[Running]
    lanes: LaneByPriority


class WaitingCounts(_Answer):
    """How many different ingestions have a message at the front of each lane; 32 may stand for more.

    One that has ended counts until its message is removed.
    """

    HIGH: Count
    MEDIUM: Count
    LOW: Count


class Health(_Answer):
    """The service does its job."""

    status: Literal["ok"]
    waiting: WaitingCounts
    last_start_at: LastStart
    throttled_until: Moment | None
    down_since: str | None
    paused_lanes: list[Switch]


class FieldError(_Answer):
    """One place in a body that must be fixed."""

    pointer: str = Field(description="A JSON pointer (RFC 6901); empty for the whole body.")
    detail: str


class ProblemDetails(_Answer):
    """Every error that the service answers (RFC 9457)."""

    type: str = Field(
        description="`/problems/<slug>`: stable, and a link to the explanation.", pattern="^/problems/[a-z-]+$"
    )
    title: str
    status: Annotated[int, Field(ge=400, le=599)]
    detail: str = Field(description="What to do about it.")
    errors: Annotated[
        list[FieldError], Field(min_length=1, max_length=20, description="Only with `invalid-request`.")
    ] = []
