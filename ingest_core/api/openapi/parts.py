"""What the operations of the OpenAPI document share: parameters, headers, problems, the host's own answers."""

from collections.abc import Iterable
from typing import Any

from ingest_core.api.messages import JSON, PROBLEM
from ingest_core.api.problems import (
    INTERNAL_ERROR,
    INVALID_JSON,
    INVALID_QUERY,
    INVALID_REQUEST,
    LENGTH_REQUIRED,
    STORAGE_UNAVAILABLE,
    TOO_LARGE,
    UNKNOWN_INGESTION,
    UNREADABLE_ROW,
    WRONG_SETTING,
    Kind,
)

Node = dict[str, Any]

SECURITY_SCHEMES: Node = {
    "functionKey": {"type": "apiKey", "in": "header", "name": "x-functions-key", "description": "A function key."},
    "functionKeyInQuery": {
        "type": "apiKey",
        "in": "query",
        "name": "code",
        "description": "The same key in the address, where logs and histories keep it: prefer the header.",
    },
}
SECURITY: list[Node] = [{"functionKey": []}, {"functionKeyInQuery": []}]
OPEN: list[Node] = []

PARAMETERS: Node = {
    "ingestionId": {
        "name": "ingestion_id",
        "in": "path",
        "required": True,
        "description": "The `ingestion_id` of a `202`.",
        "schema": {"type": "string", "format": "uuid"},
    },
    "switch": {
        "name": "switch",
        "in": "path",
        "required": True,
        "description": "A lane, or `ALL` for a fourth switch that stops everything.",
        "schema": {"type": "string", "enum": ["ALL", "HIGH", "MEDIUM", "LOW"]},
        "example": "LOW",
    },
    "ifNoneMatch": {
        "name": "If-None-Match",
        "in": "header",
        "description": "The `ETag` of the answer that the caller has: an unchanged answer is `304`.",
        "schema": {"type": "string"},
    },
    "batchCursor": {
        "name": "cursor",
        "in": "query",
        "description": "The first batch of the page, counted from 0. `Link` has that of the next page.",
        "schema": {"type": "integer", "minimum": 0, "maximum": 1_000_000, "default": 0},
    },
}

HEADERS: Node = {
    "Location": {
        "description": "Where to read the state of what was accepted.",
        "required": True,
        "schema": {"type": "string", "format": "uri-reference"},
    },
    "RetryAfter": {
        "description": "Seconds to wait before the next request. Not there once an ingestion has ended.",
        "schema": {"type": "integer", "minimum": 1},
    },
    "ETag": {
        "description": "Changes with the answer; for `If-None-Match`.",
        "required": True,
        "schema": {"type": "string", "pattern": '^(W/)?".*"$'},
    },
    "Link": {
        "description": 'The address of the next page with `rel="next"`; not there at the end.',
        "schema": {"type": "string", "pattern": '^<.+>; rel="next"$'},
    },
    "Allow": {
        "description": "The methods that the path serves.",
        "required": True,
        "schema": {"type": "string"},
    },
}

_HOST_ANSWERS = {
    "400": "Malformed HTTP. The host answers it, without a body.",
    "401": "The function key is missing or wrong. The host answers it, without a body.",
    "414": "The address is too long. The host answers it, without a body.",
    "431": "The headers are too long. The host answers it, without a body.",
}

READING = (INVALID_QUERY, STORAGE_UNAVAILABLE, INTERNAL_ERROR, WRONG_SETTING)
"""What may be wrong with any call that reads or writes storage."""

OF_ONE = (*READING, UNKNOWN_INGESTION, UNREADABLE_ROW)
"""What may be wrong with a call that is about one ingestion."""

WITH_BODY = (INVALID_JSON, INVALID_REQUEST, LENGTH_REQUIRED, TOO_LARGE)
"""What may be wrong with a body."""


def ref(name: str) -> Node:
    """A reference to a schema."""
    return {"$ref": f"#/components/schemas/{name}"}


def parameter(name: str) -> Node:
    """A reference to a parameter."""
    return {"$ref": f"#/components/parameters/{name}"}


def headers(**names: str) -> Node:
    """References to headers, by the name that a header has here: `Retry_After="RetryAfter"`."""
    return {name.replace("_", "-"): {"$ref": f"#/components/headers/{target}"} for name, target in names.items()}


POLLED_HEADERS = headers(ETag="ETag", Retry_After="RetryAfter")
ACCEPTED_HEADERS = headers(Location="Location", Retry_After="RetryAfter")


def limit(default: int | None, most: int, meaning: str) -> Node:
    """The size of a page."""
    schema = {"type": "integer", "minimum": 1, "maximum": most}
    if default is not None:
        schema["default"] = default
    return {"name": "limit", "in": "query", "description": meaning, "schema": schema}


def json_body(name: str, example: object, *, required: bool, also: tuple[str, ...] = ()) -> Node:
    """A JSON body of this schema. The service takes JSON under any media type; these are the right ones."""
    media = {"schema": ref(name), "example": example}
    return {"required": required, "content": dict.fromkeys((JSON, *also), media)}


def answer(description: str, name: str, example: object, **others: Node) -> Node:
    """A JSON answer of this schema; `others` are its headers and links."""
    return {"description": description, "content": {JSON: {"schema": ref(name), "example": example}}, **others}


def unchanged() -> Node:
    """The answer to a caller who has it already."""
    return {
        "description": "The caller has this answer already.",
        "headers": headers(ETag="ETag", Retry_After="RetryAfter"),
    }


def problem_answers(kinds: Iterable[Kind], *, needs_key: bool = True) -> Node:
    """The error answers of an operation: its problems by status, and what the host answers by itself."""
    by_status: dict[str, list[Kind]] = {}
    for kind in kinds:
        by_status.setdefault(str(kind.status), []).append(kind)
    answers: Node = {status: _problem(same) for status, same in by_status.items()}
    for status, text in _HOST_ANSWERS.items():
        if status in answers:
            answers[status]["description"] += f". {text}"
        elif needs_key or status != "401":
            answers[status] = {"description": text}
    return dict(sorted(answers.items()))


def _problem(kinds: list[Kind]) -> Node:
    status = kinds[0].status
    types = [f"/problems/{kind.slug}" for kind in kinds]
    schema = {**ref("ProblemDetails"), "properties": {"type": {"enum": types}, "status": {"const": status}}}
    examples = {kind.slug: {"value": _example(kind)} for kind in kinds}
    problem: Node = {
        "description": ", ".join(f"`{kind.slug}`" for kind in kinds),
        "content": {PROBLEM: {"schema": schema, "examples": examples}},
    }
    if status == 503:
        problem["headers"] = headers(Retry_After="RetryAfter")
    if status == 405:
        problem["headers"] = headers(Allow="Allow")
    return problem


def _example(kind: Kind) -> Node:
    fields: Node = {"type": f"/problems/{kind.slug}", "title": kind.title, "status": kind.status}
    fields["detail"] = kind.explanation.replace("`", "")
    if kind is INVALID_REQUEST:
        fields["errors"] = [{"pointer": "/ids/2", "detail": "Must be an integer from 1 to 1000000007."}]
    return fields
