"""The nouns of the service: frozen values that every layer shares."""

from enum import StrEnum


class Priority(StrEnum):
    """A lane. Declared in dispatch order: a lane is served only while all the lanes before it are empty."""

    HIGH = "HIGH"
    MEDIUM = "MEDIUM"
    LOW = "LOW"


class Status(StrEnum):
    """Where an ingestion or a batch stands; it only moves forward, and the last two are final."""

    YET_TO_START = "yet_to_start"
    TRIGGERED = "triggered"
    COMPLETED = "completed"
    FAILED = "failed"
