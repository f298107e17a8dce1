"""Every error that the service raises on purpose. The domain knows no HTTP: `api` turns these into answers.

IngestError
├── InvalidSettings          fix the app settings that it names
├── RequestRefused           the caller asked for something that cannot be done
│   ├── UnknownIngestion         no ingestion has this ID
│   ├── KeyReused                the idempotency key belongs to a list with other values
│   ├── NotEnded                 wait until the ingestion has ended
│   ├── AlreadyEnded             it is too late to change the ingestion
│   └── NothingToRetry           every ID has its data or a final error
├── UnreadableRow            a stored row cannot be decoded; it says which one and why
├── StorageError
│   ├── StorageUnavailable       try again later; the call may have taken effect all the same
│   ├── NotFound                 the row or message does not exist
│   ├── AlreadyExists            the row exists: read it
│   └── Changed                  somebody else wrote the row: read it again
└── SourceError
    ├── ItemRejected             final for this ID: record it
    ├── AttemptFailed            the attempt failed; another one may succeed
    └── SourceUnavailable        throttle the gate, then try again; the batch is not to blame
"""

from collections.abc import Sequence


class IngestError(Exception):
    """Any error of this service."""


class InvalidSettings(IngestError):
    """App settings that cannot be used; `problems` has one line for each, beginning with the setting's name."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


class RequestRefused(IngestError):
    """The caller asked for something that cannot be done."""


class UnknownIngestion(RequestRefused):
    """No ingestion has this ID."""


class KeyReused(RequestRefused):
    """The idempotency key was first used for a list with other IDs, another priority or another label."""


class NotEnded(RequestRefused):
    """The ingestion has not ended yet, and what was asked for needs its end."""


class AlreadyEnded(RequestRefused):
    """The ingestion has ended, or its end was asked for, so it can no longer be changed."""


class NothingToRetry(RequestRefused):
    """Every ID of the ingestion has its data or a final error."""


class UnreadableRow(IngestError):
    """A stored row cannot be decoded: it was edited by hand, or written by another version."""


class StorageError(IngestError):
    """A storage call did not do what it was asked to."""


class StorageUnavailable(StorageError):
    """Storage cannot be reached or is overloaded. The call may have taken effect: its answer may be what was lost."""


class NotFound(StorageError):
    """The row or message that was asked for does not exist."""


class AlreadyExists(StorageError):
    """A row with this key exists already."""


class Changed(StorageError):
    """The row's ETag is not the expected one: it was written since it was read."""


class SourceError(IngestError):
    """The external API did not deliver an item."""


class ItemRejected(SourceError):
    """The API says that it will never deliver this ID (404, 410, 422 …): recorded for the ID, never tried again."""


class AttemptFailed(SourceError):
    """The API answered without the item, or not in time: the attempt has failed."""


class SourceUnavailable(SourceError):
    """The API cannot be reached or asks to wait. The batch is not to blame, so no failure is counted.

    `retry_after_seconds` is what the API asked for, if it did.
    """

    def __init__(self, message: str, *, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds
