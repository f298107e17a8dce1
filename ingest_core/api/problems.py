"""Every error answer (RFC 9457): what the service raises becomes a problem with a type, a title and what to do.

A type is `/problems/<slug>`, which redirects to its explanation on the docs page. A caller never sees a stack trace,
and nothing that a caller sends causes a 500.
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
    NoToken,
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
    #: What has happened and what to do, for the docs page.
    explanation: str


INVALID_JSON = Kind(
    slug="invalid-json",
    status=400,
    title="Body is not JSON",
    explanation="The body is empty, is not UTF-8, or is not JSON. `detail` says where. Nothing was stored.",
)
INVALID_KEY = Kind(
    slug="idempotency-key-invalid",
    status=400,
    title="Idempotency-Key is not usable",
    explanation="The header `Idempotency-Key` must have 1 to 255 printable ASCII characters, for example a UUID.",
)
UNKNOWN_INGESTION = Kind(
    slug="unknown-ingestion",
    status=404,
    title="Unknown ingestion",
    explanation=(
        "There never was an ingestion with this ID, or it ended so long ago that it was deleted "
        "(`INGEST_RETENTION_DAYS`)."
    ),
)
UNKNOWN_PAGE = Kind(
    slug="unknown-page",
    status=404,
    title="Unknown page",
    explanation="The service has no page of this name. The board is at `/`, and this documentation at `/docs`.",
)
UNKNOWN_LANE = Kind(
    slug="unknown-lane",
    status=404,
    title="Unknown lane",
    explanation="A switch is one of `HIGH`, `MEDIUM`, `LOW` and `ALL`, in upper case.",
)
WRONG_METHOD = Kind(
    slug="method-not-allowed",
    status=405,
    title="Method not allowed",
    explanation="The path exists, but not with this method. The header `Allow` lists the methods that it serves.",
)
ENDED = Kind(
    slug="ingestion-ended",
    status=409,
    title="Ingestion has ended",
    explanation=(
        "What has ended stays as it is. If a cancel was asked for, the priority can no longer be changed either."
    ),
)
NOT_ENDED = Kind(
    slug="ingestion-not-ended",
    status=409,
    title="Ingestion has not ended",
    explanation=(
        "Only an ingestion that is `completed`, `failed` or `cancelled` can be retried. Wait for that, or cancel it."
    ),
)
NOTHING_TO_RETRY = Kind(
    slug="nothing-to-retry",
    status=409,
    title="Nothing to retry",
    explanation="Every ID of this ingestion has its data or an error that is final, so a retry would fetch nothing.",
)
UNREADABLE_ROW = Kind(
    slug="unreadable-row",
    status=409,
    title="A stored row cannot be read",
    explanation=(
        "A row in storage was edited by hand, or was written by another version of the service. Work goes "
        "on with everything else. An operator can repair or delete the row."
    ),
)
LENGTH_REQUIRED = Kind(
    slug="length-required",
    status=411,
    title="Content-Length required",
    explanation="The Functions host does not hand on a body that is sent in chunks. Send a `Content-Length`.",
)
TOO_LARGE = Kind(
    slug="body-too-large",
    status=413,
    title="Body too large",
    explanation="A body has at most 4 MiB. Split the list into several requests.",
)
INVALID_REQUEST = Kind(
    slug="invalid-request",
    status=422,
    title="Request does not match the contract",
    explanation=(
        "The body is JSON, but its fields are not what the operation takes. `errors` lists at most 20 "
        "places, each as a JSON pointer with what must be there. Nothing was stored."
    ),
)
INVALID_QUERY = Kind(
    slug="invalid-query",
    status=422,
    title="Query parameter is not usable",
    explanation=(
        "A query parameter is unknown, empty, given twice, or out of range. A `cursor` is only good "
        "together with the filters for which it was made."
    ),
)
KEY_REUSED = Kind(
    slug="idempotency-key-reused",
    status=422,
    title="Idempotency-Key was used for another request",
    explanation=(
        "An earlier request with this key had other `ids`, another `priority` or another `label`. Send the "
        "same values again, or choose a new key."
    ),
)
INTERNAL_ERROR = Kind(
    slug="internal-error",
    status=500,
    title="Internal error",
    explanation="The service has a defect. Its log has the details. Report it to whoever operates the service.",
)
STORAGE_UNAVAILABLE = Kind(
    slug="storage-unavailable",
    status=503,
    title="Storage cannot be reached",
    explanation=(
        "Storage did not answer in time. Try again after `Retry-After` seconds. What was asked for may have "
        "been done all the same: repeat a `POST /ingest` with the same `Idempotency-Key`."
    ),
)
NOT_DISPATCHING = Kind(
    slug="not-dispatching",
    status=503,
    title="Work is not being dispatched",
    explanation=(
        "Storage answers and work waits, but nothing starts it, or the ends of batches cannot be written. An "
        "operator should look at the dispatch timer and the last lines of the log."
    ),
)
WRONG_SETTING = Kind(
    slug="wrong-setting",
    status=503,
    title="A setting is wrong",
    explanation=(
        "An app setting is missing or wrong. `detail` and the log name each one. The service does nothing "
        "until they are right."
    ),
)

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


_CALLER_ERRORS: Mapping[type[IngestError], tuple[Kind, str]] = {
    UnknownIngestion: (UNKNOWN_INGESTION, "No ingestion has this ID; use the ingestion_id of a 202 answer."),
    KeyReused: (KEY_REUSED, "Send the same ids, priority and label as the first time, or a new key."),
    NotEnded: (NOT_ENDED, "Wait until its status is completed, failed or cancelled."),
    AlreadyEnded: (ENDED, "It can no longer be changed: {error}."),
    NothingToRetry: (NOTHING_TO_RETRY, "Every ID has its data or a final error."),
}


def problem_of(error: IngestError, *, retry_after: str) -> Problem:
    """What an error of the domain means to a caller."""
    if caller_error := _CALLER_ERRORS.get(type(error)):
        kind, detail = caller_error
        return Problem(kind, detail.format(error=error))
    if isinstance(error, UnreadableRow):
        detail = f"It was edited by hand, or written by another version of the service: {error}."
        return Problem(UNREADABLE_ROW, detail)
    if isinstance(error, StorageError):
        why = "The service's identity gets no token for storage. " if isinstance(error, NoToken) else ""
        detail = (
            f"{why}Try again later: a POST may have taken effect all the same, so send its Idempotency-Key with it. "
            "The log of the service says what is wrong."
        )
        return Problem(STORAGE_UNAVAILABLE, detail, headers={"Retry-After": retry_after})
    return Problem(INTERNAL_ERROR, "The log of the service says what went wrong.")
