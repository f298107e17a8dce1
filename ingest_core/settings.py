"""The app settings: read once, from a mapping, with every problem reported at once.

A wrong setting never raises at import, as the Functions host would then answer 404 to everything: the caller keeps the
problems and reports them on every call.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator
from pydantic_core import ErrorDetails

from ingest_core.errors import InvalidSettings
from ingest_core.source_request import check_url_template, parse_headers

DEFAULT_SCHEDULE = "*/5 * * * * *"

_MONTHS = " january february march april may june july august september october november december"
_DAYS = " sunday monday tuesday wednesday thursday friday saturday"
_SCHEDULE_FIELDS = ((0, 59, ""), (0, 59, ""), (0, 23, ""), (1, 31, ""), (1, 12, _MONTHS), (0, 6, _DAYS))
"""The least and the largest number in each NCRONTAB field, and its names: any beginning of one stands for it."""

Seconds = Annotated[float, Field(allow_inf_nan=False)]


def _headers(text: str) -> str:
    parse_headers(text)
    return text


def _url_template(text: str) -> str:
    if text and (problem := check_url_template(text)):
        raise ValueError(problem)
    return text


class Settings(BaseModel):
    """What can be set, by the name of the app setting, with its default and range; times are in seconds."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True, populate_by_name=True)

    connection_string: str = Field(alias="AzureWebJobsStorage")
    interval: Seconds = Field(5, alias="INGEST_INTERVAL_SECONDS", ge=0.1, le=3600)
    batch_size: int = Field(3, alias="INGEST_BATCH_SIZE", ge=1, le=100)
    max_ids: int = Field(100_000, alias="INGEST_MAX_IDS", ge=1, le=200_000)
    max_attempts: int = Field(5, alias="INGEST_MAX_ATTEMPTS", ge=1, le=20)
    source: Literal["simulated", "http"] = Field("simulated", alias="INGEST_SOURCE")
    source_delay: Seconds = Field(0.1, alias="INGEST_SOURCE_DELAY_SECONDS", ge=0, le=3600)
    source_url: Annotated[str, AfterValidator(_url_template)] = Field("", alias="INGEST_SOURCE_URL")
    source_headers: Annotated[str, AfterValidator(_headers)] = Field("", alias="INGEST_SOURCE_HEADERS")
    source_timeout: Seconds = Field(10, alias="INGEST_SOURCE_TIMEOUT_SECONDS", ge=0.1, le=300)
    lease: Seconds = Field(0, alias="INGEST_LEASE_SECONDS", ge=0, le=86_400)
    max_retry_after: Seconds = Field(3600, alias="INGEST_MAX_RETRY_AFTER_SECONDS", ge=1, le=86_400)

    @field_validator("lease")
    @classmethod
    def _outlasts_a_batch(cls, lease: float, known: ValidationInfo) -> float:
        """Judge it by what was declared before and is valid: a wrong setting hides no other one's problem."""
        least = known.data.get("interval", 0.1) + known.data.get("source_timeout", 0.1) + 2
        if lease and lease < least:
            raise ValueError(
                "must be at least INGEST_INTERVAL_SECONDS + INGEST_SOURCE_TIMEOUT_SECONDS + 2"
                f" = {least:g}, or a second host could take a batch that still runs"
            )
        return lease

    @property
    def lease_seconds(self) -> float:
        """How long nobody else may take the gate after a take."""
        return self.lease or self.interval + self.source_timeout + 5


NAMES = ("INGEST_SCHEDULE", *(str(field.alias) for field in Settings.model_fields.values()))
"""All that is read of the app settings."""


def read_settings(values: Mapping[str, str]) -> Settings:
    """Read the settings; an empty value counts as unset. Raises `InvalidSettings` with every problem."""
    # Each is asked for: Windows finds a variable in whatever case, but lists all of them in upper case.
    given = {name: text for name in NAMES if (text := values.get(name, "").strip())}
    problems = []
    if not _is_schedule(given.get("INGEST_SCHEDULE", DEFAULT_SCHEDULE)):
        problems.append(f"INGEST_SCHEDULE: must be five or six NCRONTAB fields, like {DEFAULT_SCHEDULE}")
    source, url = given.get("INGEST_SOURCE"), given.get("INGEST_SOURCE_URL")
    if source == "http" and not url:
        problems.append("INGEST_SOURCE_URL: must be set when INGEST_SOURCE is http")
    if url and not source:  # made-up items would be taken for the API's
        problems.append(
            "INGEST_SOURCE: must be set when INGEST_SOURCE_URL is: to http, or to simulated to leave it out"
        )
    try:
        settings = Settings.model_validate(given)
    except ValidationError as error:
        problems += [_problem(entry) for entry in error.errors(include_url=False)]
    if problems:
        raise InvalidSettings(problems)
    return settings


def unknown_settings(values: Mapping[str, str]) -> list[str]:
    """Names that look like ours and are not: misspelt ones, most likely."""
    return sorted(name for name in values if name.upper().startswith("INGEST_") and name not in NAMES)


def schedule_of(values: Mapping[str, str]) -> str:
    """The dispatch timer's NCRONTAB expression; the default where the given one cannot be meant as one."""
    text = values.get("INGEST_SCHEDULE", "").strip()
    return text if _is_schedule(text) else DEFAULT_SCHEDULE


def _is_schedule(text: str) -> bool:
    """Whether the host would take it: one that it refuses would leave the service without its timer."""
    fields = [field for field in text.split(" ") if field]
    return len(fields) in (5, 6) and all(map(_is_field, fields, _SCHEDULE_FIELDS[-len(fields) :]))


def _is_field(text: str, limits: tuple[int, int, str]) -> bool:
    for item in text.split(","):
        span, slash, step = item.partition("/")
        if not re.fullmatch("[+-]?[0-9]{1,9}" if slash else "", step):
            return False
        if span != "*" and not all(_is_value(end, limits) for end in span.split("-", 1)):
            return False
    return True


def _is_value(text: str, limits: tuple[int, int, str]) -> bool:
    least, most, names = limits
    if re.fullmatch("[0-9]{1,9}", text):
        return least <= int(text) <= most
    return bool(text) and f" {text.lower()}" in names


def _problem(entry: ErrorDetails) -> str:
    """Name and message of one error, in a line that says what the value must be."""
    if entry["type"] == "missing":
        message = "must be set, to the connection string of a storage account"
    else:
        message = entry["msg"].removeprefix("Value error, ").replace("Input should", "must").partition(", unable")[0]
    return f"{entry['loc'][0]}: {message}"
