"""Reads the app settings from a mapping and reports all problems together.

A wrong setting must not raise at import, because the Functions host would then answer 404 to everything. So the caller
keeps the problems and reports them on every call.
"""

import re
from collections.abc import Mapping
from math import ceil
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator
from pydantic_core import ErrorDetails

from ingest_core.errors import InvalidSettings
from ingest_core.models import Priority
from ingest_core.schedule import is_schedule, longest_gap_seconds
from ingest_core.source.request import HTTP, SIMULATED, check_source_name, check_url_template, parse_headers

DEFAULT_SCHEDULE = "*/5 * * * * *"
FAST_SCHEDULE = "*/1 * * * * *"
"""The schedule for intervals below five seconds, if no schedule is set."""

_OWN_QUEUES = [f"ingest-{lane.lower()}{end}" for lane in Priority for end in ("", "-poison")]
_LEAST_LEASE_MARGIN, _DEFAULT_LEASE_MARGIN = 2, 15
_FEWEST_IN_FLIGHT, _MOST_IN_FLIGHT = 2, 16

Seconds = Annotated[float, Field(allow_inf_nan=False)]


def _source_name(text: str) -> str:
    if problem := check_source_name(text):
        raise ValueError(problem)
    return text


def _headers(text: str) -> str:
    parse_headers(text)
    return text


def _url_template(text: str) -> str:
    if text and (problem := check_url_template(text)):
        raise ValueError(problem)
    return text


def _queue_name(text: str) -> str:
    if not re.fullmatch(r"(?=.{3,63}$)[a-z0-9]+(-[a-z0-9]+)*", text):
        raise ValueError("must be a queue name: 3 to 63 lower-case letters, digits and single hyphens between them")
    if text in _OWN_QUEUES:
        raise ValueError("must not be one of the service's own queues; choose another name")
    return text


class Settings(BaseModel):
    """The settings, each with the name of the app setting, a default and a range. Times are in seconds.

    `AzureWebJobsStorage` and the settings that begin with this name are checked in `storage/connection.py`.
    """

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True, populate_by_name=True)

    interval: Seconds = Field(5, alias="INGEST_INTERVAL_SECONDS", ge=0.1, le=3600)
    batch_size: int = Field(3, alias="INGEST_BATCH_SIZE", ge=1, le=100)
    max_ids: int = Field(100_000, alias="INGEST_MAX_IDS", ge=1, le=200_000)
    max_attempts: int = Field(5, alias="INGEST_MAX_ATTEMPTS", ge=1, le=20)
    source: Annotated[str, AfterValidator(_source_name)] = Field(SIMULATED, alias="INGEST_SOURCE")
    source_delay: Seconds = Field(0.1, alias="INGEST_SOURCE_DELAY_SECONDS", ge=0, le=3600)
    source_url: Annotated[str, AfterValidator(_url_template)] = Field("", alias="INGEST_SOURCE_URL")
    source_headers: Annotated[str, AfterValidator(_headers)] = Field("", alias="INGEST_SOURCE_HEADERS")
    source_timeout: Seconds = Field(10, alias="INGEST_SOURCE_TIMEOUT_SECONDS", ge=0.1, le=300)
    set_lease: Seconds | None = Field(None, alias="INGEST_LEASE_SECONDS", le=86_400)
    set_max_in_flight: int | None = Field(None, alias="INGEST_MAX_IN_FLIGHT", ge=1, le=_MOST_IN_FLIGHT)
    max_retry_after: Seconds = Field(3600, alias="INGEST_MAX_RETRY_AFTER_SECONDS", ge=1, le=86_400)
    retention_days: int = Field(30, alias="INGEST_RETENTION_DAYS", ge=0, le=3650)
    ended_queue: Annotated[str, AfterValidator(_queue_name)] = Field("", alias="INGEST_ENDED_QUEUE")

    @field_validator("set_lease")
    @classmethod
    def _outlasts_a_fetch(cls, lease: float | None, known: ValidationInfo) -> float | None:
        """Check the lower bound. An invalid source timeout has its own report, so its least value is used here."""
        least = known.data.get("source_timeout", 0.1) + _LEAST_LEASE_MARGIN
        if lease is not None and lease < least:
            raise ValueError(
                f"must be at least INGEST_SOURCE_TIMEOUT_SECONDS + {_LEAST_LEASE_MARGIN} = {least:g},"
                " or another process could start a batch that is still running"
            )
        return lease

    @property
    def lease_seconds(self) -> float:
        """How long other processes leave a started batch alone: the source timeout + 15 s, unless it is set."""
        return self.source_timeout + _DEFAULT_LEASE_MARGIN if self.set_lease is None else self.set_lease

    @property
    def max_in_flight(self) -> int:
        """How many batches may run at once in one process: those that can start within the source timeout, + 1."""
        if self.set_max_in_flight is not None:
            return self.set_max_in_flight
        # Rounded before `ceil`, because quotients such as 0.7 / 0.1 are not exact in binary.
        running = ceil(round(self.source_timeout / self.interval, 9))
        return min(max(_FEWEST_IN_FLIGHT, running + 1), _MOST_IN_FLIGHT)


NAMES = ("INGEST_SCHEDULE", *(str(field.alias) for field in Settings.model_fields.values()))
"""The names of all settings that are read here."""


def read_settings(values: Mapping[str, str]) -> Settings:
    """Read the settings; an empty value counts as unset. Raises `InvalidSettings` with every problem."""
    # Each name is looked up, because Windows lists all variables in upper case but finds them in any case.
    set_values = {name: text for name in NAMES if (text := values.get(name, "").strip())}
    problems = []
    if not is_schedule(set_values.get("INGEST_SCHEDULE", DEFAULT_SCHEDULE)):
        problems.append(f"INGEST_SCHEDULE: must be five or six NCRONTAB fields, like {DEFAULT_SCHEDULE}")
    source, url = set_values.get("INGEST_SOURCE"), set_values.get("INGEST_SOURCE_URL")
    if source == HTTP and not url:
        problems.append("INGEST_SOURCE_URL: must be set when INGEST_SOURCE is http")
    if url and not source:  # otherwise people would take simulated items for the API's
        problems.append(
            "INGEST_SOURCE: must be set when INGEST_SOURCE_URL is set: to http, or to simulated to ignore the URL"
        )
    try:
        settings = Settings.model_validate(set_values)
    except ValidationError as error:
        problems += [_problem(entry) for entry in error.errors(include_url=False)]
    if problems:
        raise InvalidSettings(problems)
    return settings


def unknown_settings(values: Mapping[str, str]) -> list[str]:
    """Return names that begin with `INGEST_` and are no setting. They are most likely misspelt."""
    return sorted(name for name in values if name.upper().startswith("INGEST_") and name not in NAMES)


def schedule_of(values: Mapping[str, str]) -> str:
    """Return the dispatch timer's NCRONTAB expression. It never raises, because it is called at import.

    If no valid schedule is set, it follows the interval: every five seconds for intervals of at least five seconds,
    else every second.
    """
    text = values.get("INGEST_SCHEDULE", "").strip()
    if is_schedule(text):
        return text
    try:
        interval = float(values.get("INGEST_INTERVAL_SECONDS", "").strip() or 5)
    except ValueError:
        return DEFAULT_SCHEDULE
    return FAST_SCHEDULE if interval < 5 else DEFAULT_SCHEDULE


def slow_schedule_message(values: Mapping[str, str], *, interval: float) -> str | None:
    """Return a line for the log if `INGEST_SCHEDULE` is too slow for the interval, else `None`.

    A tick ends when nothing is running and the next slot is more than a second away. So the next tick must come before
    that slot is due, and the longest gap between two ticks must not exceed the interval. For intervals of a second or
    less, a schedule of every second is enough, because a tick goes on from slot to slot.
    """
    text = values.get("INGEST_SCHEDULE", "").strip()
    if not is_schedule(text):
        return None
    gap = longest_gap_seconds(text)
    if gap <= max(interval, 1):
        return None
    return (
        f"INGEST_SCHEDULE: leaves gaps of at least {gap} s between two ticks, but a batch may start every"
        f" {interval:g} s, so slots stay unused; remove the setting, or set a faster schedule"
    )


def _problem(entry: ErrorDetails) -> str:
    """Return a line with the setting's name and what its value must be."""
    message = entry["msg"].removeprefix("Value error, ").replace("Input should", "must").partition(", unable")[0]
    return f"{entry['loc'][0]}: {message}"
