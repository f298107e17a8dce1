"""The app settings: read once, from a mapping, with every problem reported at once.

A wrong setting never raises at import, as the Functions host would then answer 404 to everything: the caller keeps the
problems and reports them on every call.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from ingest_core.errors import InvalidSettings
from ingest_core.source_request import check_url_template, parse_headers

DEFAULT_SCHEDULE = "*/5 * * * * *"

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
    lease: Seconds = Field(0, alias="INGEST_LEASE_SECONDS", ge=0, le=86_400)
    batch_size: int = Field(3, alias="INGEST_BATCH_SIZE", ge=1, le=100)
    max_ids: int = Field(100_000, alias="INGEST_MAX_IDS", ge=1, le=200_000)
    max_attempts: int = Field(5, alias="INGEST_MAX_ATTEMPTS", ge=1, le=20)
    source: Literal["simulated", "http"] = Field("simulated", alias="INGEST_SOURCE")
    source_delay: Seconds = Field(0.1, alias="INGEST_SOURCE_DELAY_SECONDS", ge=0, le=3600)
    source_url: Annotated[str, AfterValidator(_url_template)] = Field("", alias="INGEST_SOURCE_URL")
    source_headers: Annotated[str, AfterValidator(_headers)] = Field("", alias="INGEST_SOURCE_HEADERS")
    source_timeout: Seconds = Field(10, alias="INGEST_SOURCE_TIMEOUT_SECONDS", ge=0.1, le=300)
    max_retry_after: Seconds = Field(3600, alias="INGEST_MAX_RETRY_AFTER_SECONDS", ge=1, le=86_400)

    @model_validator(mode="after")
    def _together(self) -> Self:
        if self.lease and self.lease < self.interval + self.source_timeout + 2:
            raise ValueError(
                "INGEST_LEASE_SECONDS: must be at least INGEST_INTERVAL_SECONDS + INGEST_SOURCE_TIMEOUT_SECONDS + 2"
                f" = {self.interval + self.source_timeout + 2:g}, or a second host could take a batch that still runs"
            )
        if self.source == "http" and not self.source_url:
            raise ValueError("INGEST_SOURCE_URL: must be set when INGEST_SOURCE is http")
        return self

    @property
    def lease_seconds(self) -> float:
        """How long nobody else may take the gate after a take."""
        return self.lease or self.interval + self.source_timeout + 5


def read_settings(values: Mapping[str, str]) -> Settings:
    """Read the settings; an empty value counts as unset. Raises `InvalidSettings` with every problem."""
    problems = [] if schedule_is_valid(values) else ["INGEST_SCHEDULE: must be five or six NCRONTAB fields"]
    given = {name: value.strip() for name, value in values.items() if value.strip()}
    names = {field.alias for field in Settings.model_fields.values()}
    try:
        settings = Settings.model_validate({name: value for name, value in given.items() if name in names})
    except ValidationError as error:
        problems += [_problem(str(entry["loc"][0] if entry["loc"] else ""), entry["msg"]) for entry in error.errors()]
    if problems:
        raise InvalidSettings(problems)
    return settings


def schedule_of(values: Mapping[str, str]) -> str:
    """The dispatch timer's NCRONTAB expression; the default where the given one cannot be meant as one."""
    text = values.get("INGEST_SCHEDULE", "").strip()
    return text if text and schedule_is_valid(values) else DEFAULT_SCHEDULE


def schedule_is_valid(values: Mapping[str, str]) -> bool:
    """Whether the schedule is unset, or five or six fields of NCRONTAB characters."""
    text = values.get("INGEST_SCHEDULE", "").strip()
    return not text or (5 <= len(text.split()) <= 6 and re.fullmatch(r"[0-9A-Za-z*/, \t-]+", text) is not None)


def _problem(name: str, message: str) -> str:
    message = message.removeprefix("Value error, ")
    return f"{name}: {message[0].lower()}{message[1:]}" if name else message
