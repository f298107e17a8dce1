"""The errors that the service raises on purpose. The domain knows no HTTP: `api` turns these into answers.

IngestError
├── InvalidSettings          fix the app settings in `problems`
├── RequestRefused           the caller asked for something that cannot be done
│   ├── UnknownIngestion         no ingestion has this ID
│   ├── KeyReused                the idempotency key belongs to a list with other values
│   ├── NotEnded                 wait until the ingestion has ended
│   ├── AlreadyEnded             it is too late to change the ingestion
│   └── NothingToRetry           every ID has its data or a final error
├── UnreadableRow            a stored row cannot be decoded; the message names the row and the reason
├── StorageError
│   ├── StorageUnavailable       try again later; the call may have taken effect
│   │   ├── StorageDenied            a key, a SAS or a role does not permit the call: nothing was done
│   │   └── NoToken                  the app's identity gets no token for storage
│   ├── NotFound                 the row or message does not exist
│   ├── AlreadyExists            the row exists: read it
│   └── Changed                  another process has written the row: read it again
└── SourceError
    ├── ItemRejected             final for this ID: record it
    ├── AttemptFailed            the attempt failed; another attempt may succeed
    └── SourceUnavailable        throttle the gate, then try again; the attempt does not count as a failure
"""

from collections.abc import Sequence


class IngestError(Exception):
    """Any error of this service."""


class InvalidSettings(IngestError):
    """App settings that cannot be used. `problems` has a line for each, which begins with the setting's name."""

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
    """The request needs an ended ingestion, and this ingestion has not ended yet."""


class AlreadyEnded(RequestRefused):
    """The ingestion cannot be changed any more: it has ended, or a cancel was requested."""


class NothingToRetry(RequestRefused):
    """Every ID of the ingestion has its data or a final error."""


class UnreadableRow(IngestError):
    """A stored row cannot be decoded: it was edited by hand, or written by another version."""


class StorageError(IngestError):
    """A storage call has failed."""


class StorageUnavailable(StorageError):
    """Storage cannot be reached or is overloaded. The call may have taken effect, because an answer can be lost."""


class StorageDenied(StorageUnavailable):
    """Storage answered 401 or 403. It will do so again until an operator changes a key, a SAS or a role."""


class NoToken(StorageUnavailable):
    """The app's identity gets no token for storage, so no call was sent."""


class NotFound(StorageError):
    """The row or message does not exist."""


class AlreadyExists(StorageError):
    """A row with this key already exists."""


class Changed(StorageError):
    """The row does not have the expected ETag: it was written since it was read."""


class SourceError(IngestError):
    """The external API did not deliver an item."""


class ItemRejected(SourceError):
    """The API will never deliver this ID (404, 410, 422 …). The error is its result, and the ID is not tried again."""


class AttemptFailed(SourceError):
    """The API answered without the item, or did not answer in time, so the attempt has failed.

    `log_text` is what the log must say of it, with an event's name and perhaps a trace. A source does not log itself:
    the Functions host drops the lines of a task whose own tick has ended.
    """

    def __init__(self, message: str, *, log_text: str = "") -> None:
        super().__init__(message)
        self.log_text = log_text


class SourceUnavailable(SourceError):
    """The API cannot be reached or asks to wait. The attempt does not count as a failure of the batch.

    `retry_after_seconds` is how long the API asks to wait, or None if it does not say.
    """

    def __init__(self, message: str, *, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds
