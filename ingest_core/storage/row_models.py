"""What a stored row must look like to be read. A property has a default if the row still means the same without it."""

import json
from datetime import datetime
from typing import Annotated, Any, Literal, Self, TypeVar
from uuid import UUID

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from ingest_core.errors import UnreadableRow
from ingest_core.models import Flight, Priority, Status
from ingest_core.ports import Entity


def _none_if_empty(value: object) -> object:
    return None if value == "" else value


def _numbers(value: object) -> object:
    return json.loads(value) if isinstance(value, str) else value


def _flights(value: object) -> object:
    return FlightList.validate_json(value, strict=True) if isinstance(value, str) else value


def _orderable(value: datetime) -> datetime:
    if not 1971 <= value.year <= 2285:
        raise ValueError("a time of creation is a part of row keys, which hold the years 1971 to 2285")
    return value


def _final(value: Status) -> Status:
    if value in (Status.YET_TO_START, Status.TRIGGERED):
        raise ValueError("what has ended has a final status")
    return value


MAX_COUNT = 2**30
"""A count up to this can still be increased, because storage has integers of 32 bits."""

Count = Annotated[int, Field(ge=0, le=MAX_COUNT)]

MAX_AGE_SECONDS = 1e9
"""Thirty years. With much greater numbers, adding the seconds that have passed would change nothing."""

MAX_CLOSED_SECONDS = 100_000.0
"""Every lease, back-off and throttle is shorter, whatever the settings are."""

Moment = Annotated[AwareDatetime, Field(strict=False)]
CreationMoment = Annotated[Moment, AfterValidator(_orderable)]
MaybeMoment = Annotated[Moment | None, BeforeValidator(_none_if_empty)]
Identifier = Annotated[UUID, Field(strict=False)]
MaybeIdentifier = Annotated[Identifier | None, BeforeValidator(_none_if_empty)]
FinalStatus = Annotated[Status, Field(strict=False), AfterValidator(_final)]
LaneName = Annotated[Priority, Field(strict=False)]
FlightList: TypeAdapter[list[Flight]] = TypeAdapter(list[Flight])


NEEDED = {
    1: ("finished_batches", "failed"),
    2: ("queued_at", "generation", "queued", "started_batches", "in_flight", "failed", "cancelled_batches"),
}
"""What every ingestion row of a format has, and needs. Without `in_flight`, a running batch would seem completed."""


class Row(BaseModel):
    """A stored row. Types are strict, and properties that it does not know are ignored."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)


class IngestionRow(Row):
    """An ingestion row of either format. Only the first format has the last five properties."""

    PartitionKey: Identifier
    format: Literal[1, 2]
    priority: LaneName
    created_at: CreationMoment
    queued_at: MaybeMoment = None
    id_count: Annotated[int, Field(ge=1, le=200_000)]
    batch_size: Annotated[int, Field(ge=1, le=100)]
    digest: str
    retry_of: MaybeIdentifier = None
    label: str = ""
    generation: Count = 0
    queued: bool = True
    retries: Count = 0
    started_batches: Count = 0
    in_flight: Annotated[list[Flight], BeforeValidator(_flights), Field(max_length=32)] = []
    failed: bytes = b""
    cancelled_batches: Annotated[list[Count], BeforeValidator(_numbers)] = []
    error_count: Count = 0
    cancel_requested_at: MaybeMoment = None
    cancel_reason: str = ""
    ended_at: MaybeMoment = None
    finished_batches: Count = 0
    triggered_at: MaybeMoment = None
    attempts: Count = 0
    failures: Count = 0
    error: str = ""

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        for name in NEEDED[self.format]:
            if name not in self.model_fields_set:
                raise ValueError(f"the property {name} is missing")
        return self


class BatchRow(Row):
    """A batch row without its result."""

    PartitionKey: Identifier
    RowKey: Annotated[str, Field(pattern=r"^batch-[0-9]{8}$")]
    format: Literal[1, 2]
    status: FinalStatus
    token: str = ""
    attempts: Count
    triggered_at: Moment
    completed_at: Moment
    error: str = ""


AnyRow = TypeVar("AnyRow", bound=BaseModel)


def checked(model: type[AnyRow], entity: Entity) -> AnyRow:
    """Decode an entity. Raises `UnreadableRow`, which names the row and the property."""
    try:
        return model.model_validate(_upgraded(dict(entity)) if model is IngestionRow else dict(entity))
    except (ValidationError, ValueError, RecursionError) as error:
        raise UnreadableRow(f"{name_of(entity)}: {_reason(error)}") from None


def name_of(entity: Entity) -> str:
    """The name of a row in errors. An ingestion row has its PartitionKey as RowKey."""
    partition_key = str(entity.get("PartitionKey"))
    return f"row {partition_key}/{entity.get('RowKey', partition_key)!s}"


def _upgraded(entity: dict[str, Any]) -> dict[str, Any]:
    """Add `started_batches` to a row of the first format, in which batches ran one after another."""
    if entity.get("format") != 1:
        return entity
    finished = entity.get("finished_batches", 0)
    started = finished + bool(entity.get("triggered_at")) if isinstance(finished, int) else finished
    return {**entity, "started_batches": started}


def _reason(error: Exception) -> str:
    if not isinstance(error, ValidationError):
        return "a property is not the JSON that it should be"
    first = error.errors(include_url=False, include_input=False)[0]
    where = f"property {'.'.join(map(str, first['loc']))}: " if first["loc"] else ""
    return f"{where}{first['msg']}"
