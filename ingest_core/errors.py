"""Every error that the service raises on purpose; each says what the caller should do.

IngestError
├── InvalidSettings      mend the app settings that it names
├── Problem              send the answer that it describes
├── StorageError
│   ├── StorageUnavailable   try again later; the call may have taken effect all the same
│   ├── NotFound             the row or message does not exist
│   ├── AlreadyExists        the row exists: read it
│   └── Changed              somebody else wrote the row: read it again
└── SourceError
    ├── ItemRejected         final for this ID: record it
    ├── AttemptFailed        costs the batch an attempt
    └── SourceUnavailable    costs nothing: hold the gate, then try again
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType


class IngestError(Exception):
    """Any error of this service."""


class InvalidSettings(IngestError):
    """App settings that cannot be used; `problems` has one line for each, beginning with the setting's name."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


class Problem(IngestError):
    """A request that gets an error answer (RFC 9457).

    `errors` are `{"pointer": <JSON pointer, RFC 6901>, "detail": <text>}`; `headers` are the answer's own.
    """

    def __init__(
        self,
        status: int,
        title: str,
        detail: str,
        *,
        errors: Sequence[dict[str, str]] = (),
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.title = title
        self.detail = detail
        self.errors = tuple(errors)
        self.headers = headers


class StorageError(IngestError):
    """A storage call that did not do what was asked."""


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
    """The API answered, but not with the item: it costs the batch an attempt."""


class SourceUnavailable(SourceError):
    """The API cannot be reached or asks to wait; nothing is held against the batch.

    `retry_after_seconds` is what the API asked for, if it did.
    """

    def __init__(self, message: str, *, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds
