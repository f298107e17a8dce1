"""Every error answer (RFC 9457): what the service raises becomes a problem with a type, a title and what to do.

A type is `/problems/<slug>`, which redirects to its explanation. A caller never sees a stack trace, and nothing that a
caller sends makes a 500.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ingest_core.api.messages import PROBLEM, Answer
from ingest_core.errors import (
    AlreadyEnded,
    IngestError,
    KeyReused,
    NotEnded,
    NothingToRetry,
    StorageError,
    UnknownIngestion,
    UnreadableRow,
)


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A type of problem; its slug never changes."""

    slug: str
    status: int
    title: str


INVALID_JSON = Kind(slug="invalid-json", status=400, title="Body is not JSON")
INVALID_KEY = Kind(slug="idempotency-key-invalid", status=400, title="Idempotency-Key is not usable")
UNKNOWN_INGESTION = Kind(slug="unknown-ingestion", status=404, title="Unknown ingestion")
UNKNOWN_PAGE = Kind(slug="unknown-page", status=404, title="Unknown page")
UNKNOWN_LANE = Kind(slug="unknown-lane", status=404, title="Unknown lane")
WRONG_METHOD = Kind(slug="method-not-allowed", status=405, title="Method not allowed")
ENDED = Kind(slug="ingestion-ended", status=409, title="Ingestion has ended")
NOT_ENDED = Kind(slug="ingestion-not-ended", status=409, title="Ingestion has not ended")
NOTHING_TO_RETRY = Kind(slug="nothing-to-retry", status=409, title="Nothing to retry")
UNREADABLE_ROW = Kind(slug="unreadable-row", status=409, title="A stored row cannot be read")
LENGTH_REQUIRED = Kind(slug="length-required", status=411, title="Content-Length required")
TOO_LARGE = Kind(slug="body-too-large", status=413, title="Body too large")
INVALID_REQUEST = Kind(slug="invalid-request", status=422, title="Request does not match the contract")
INVALID_QUERY = Kind(slug="invalid-query", status=422, title="Query parameter is not usable")
KEY_REUSED = Kind(slug="idempotency-key-reused", status=422, title="Idempotency-Key was used for another request")
INTERNAL_ERROR = Kind(slug="internal-error", status=500, title="Internal error")
STORAGE_UNAVAILABLE = Kind(slug="storage-unavailable", status=503, title="Storage cannot be reached")
NOT_DISPATCHING = Kind(slug="not-dispatching", status=503, title="Work is not being dispatched")
WRONG_SETTING = Kind(slug="wrong-setting", status=503, title="A setting is wrong")

KINDS = tuple(value for value in vars().values() if isinstance(value, Kind))
"""All types of problems, by status."""


class Problem(Exception):
    """An answer that says what is wrong and what to do. `errors` has at most 20 places in the body."""

    def __init__(
        self,
        kind: Kind,
        detail: str,
        *,
        errors: Sequence[Mapping[str, str]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(f"{kind.slug}: {detail}")
        self.kind = kind
        self.detail = detail
        self.errors = errors
        self.headers = headers or {}

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self.kind.status


def wrong_method(allow: str) -> Problem:
    """The path serves other methods (RFC 9110, section 15.5.6); the host by itself would answer an empty 404."""
    return Problem(WRONG_METHOD, f"This path serves {allow}.", headers={"Allow": allow})


def problem_answer(problem: Problem) -> Answer:
    """The answer in the form of RFC 9457."""
    kind = problem.kind
    fields: dict[str, object] = {
        "type": f"/problems/{kind.slug}",
        "title": kind.title,
        "status": kind.status,
        "detail": problem.detail,
    }
    if problem.errors:
        fields["errors"] = problem.errors
    return Answer(status=kind.status, body=json.dumps(fields) + "\n", content_type=PROBLEM, headers=problem.headers)


_REFUSALS: Mapping[type[IngestError], tuple[Kind, str]] = {
    UnknownIngestion: (UNKNOWN_INGESTION, "No ingestion has this ID; use the ingestion_id of a 202 answer."),
    KeyReused: (KEY_REUSED, "Send the same ids, priority and label as the first time, or a new key."),
    NotEnded: (NOT_ENDED, "Wait until its status is completed, failed or cancelled."),
    AlreadyEnded: (ENDED, "It can no longer be changed: it has ended, or a cancel was asked for."),
    NothingToRetry: (NOTHING_TO_RETRY, "Every ID has its data or a final error."),
}


def problem_of(error: IngestError, *, retry_after: str) -> Problem:
    """What an error of the domain means to a caller."""
    if refusal := _REFUSALS.get(type(error)):
        return Problem(*refusal)
    if isinstance(error, UnreadableRow):
        detail = f"It was edited by hand, or written by another version of the service: {error}."
        return Problem(UNREADABLE_ROW, detail)
    if isinstance(error, StorageError):
        detail = (
            "Try again later: a POST may have taken effect all the same, so send its Idempotency-Key with it. "
            "The log of the service says what is wrong."
        )
        return Problem(STORAGE_UNAVAILABLE, detail, headers={"Retry-After": retry_after})
    return Problem(INTERNAL_ERROR, "The log of the service says what went wrong.")
