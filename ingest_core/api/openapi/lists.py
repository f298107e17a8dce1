"""The operations of the OpenAPI document that submit lists and read what becomes of them."""

from ingest_core.api.messages import JSON, JSONL, NDJSON
from ingest_core.api.openapi import examples
from ingest_core.api.openapi.parts import (
    ACCEPTED_HEADERS,
    OF_ONE,
    POLLED_HEADERS,
    READING,
    WITH_BODY,
    Node,
    answer,
    headers,
    json_body,
    limit,
    parameter,
    problem_answers,
    ref,
    unchanged,
)
from ingest_core.api.problems import INVALID_KEY, KEY_REUSED, UNREADABLE_ROW
from ingest_core.models import Priority, Status

_LINKED = {
    "status": "Its state with all batches.",
    "ingestion": "Its state without batches.",
    "batches": "How its batches went.",
    "results": "What was fetched.",
    "changePriority": "Put it into another lane.",
    "cancel": "Start no further batch of it.",
    "retry": "Fetch again what failed, once it has ended.",
}


def links(source: str, *operations: str) -> Node:
    """Where to go on with the ID that is found at `source`: these operations, or all of them."""
    return {
        name: {"operationId": name, "parameters": {"ingestion_id": source}, "description": _LINKED[name]}
        for name in operations or _LINKED
    }


def _names(name: str, values: type[Priority | Status], example: str) -> Node:
    """A parameter with one or several names, with commas between them."""
    either = "|".join(values)
    return {
        "name": name,
        "in": "query",
        "description": f"Only these, with commas between them: {', '.join(f'`{value}`' for value in values)}.",
        "schema": {"type": "string", "pattern": f"^({either})(,({either}))*$"},
        "example": example,
    }


INGEST: Node = {
    "operationId": "ingest",
    "tags": ["Lists"],
    "summary": "Accept a list of IDs.",
    "description": "The list is stored before the answer is sent. After a `503` or a lost answer it may have been"
    " accepted all the same: send the same request again with the same `Idempotency-Key`, and no second list is made.",
    "parameters": [
        {
            "name": "Idempotency-Key",
            "in": "header",
            "description": "The same key with the same values gives the same ingestion. A key in quotation marks is the"
            " key between them. All callers share one space of keys: use a UUID.",
            "schema": {"type": "string", "maxLength": 255, "pattern": '^(?!""$)[!-~]([ -~]*[!-~])?$'},
        }
    ],
    "requestBody": json_body("IngestBody", examples.BODY, required=True),
    "responses": {
        "202": answer(
            "Accepted.",
            "Accepted",
            examples.ACCEPTED,
            headers=ACCEPTED_HEADERS,
            links=links("$response.body#/ingestion_id"),
        ),
        **problem_answers([*READING, *WITH_BODY, INVALID_KEY, KEY_REUSED, UNREADABLE_ROW]),
    },
}

STATUS: Node = {
    "operationId": "status",
    "tags": ["Lists"],
    "summary": "Show an ingestion and all its batches.",
    "description": "The answer grows with the list: 100 000 IDs are 3.5 MB. To follow a long list, poll"
    " `GET /ingestions/{ingestion_id}`.",
    "parameters": [parameter("ifNoneMatch")],
    "responses": {
        "200": answer("The ingestion.", "IngestionStatus", examples.STATUS, headers=POLLED_HEADERS),
        "304": unchanged(),
        **problem_answers(OF_ONE),
    },
}

BATCHES: Node = {
    "operationId": "batches",
    "tags": ["Lists"],
    "summary": "Show how each batch went, in pages.",
    "parameters": [parameter("batchCursor"), limit(100, 1000, "Batches on a page.")],
    "responses": {
        "200": answer("A page.", "BatchPage", examples.BATCHES, headers=headers(Link="Link")),
        **problem_answers(OF_ONE),
    },
}

_LINES: Node = {
    "schema": {"type": "string", "description": "A `Result` in each line."},
    "x-line-schema": ref("Result"),
    "example": examples.RESULT_LINES,
}

RESULTS: Node = {
    "operationId": "results",
    "tags": ["Lists"],
    "summary": "Give what was fetched so far, in the order of the list.",
    "description": "Without `limit`, everything before the first batch that has not ended, up to 32 MiB; if that is not"
    " all there will ever be, the last line says where to go on. With `limit`, a page of results and nothing else;"
    " follow `Link`. A page without `Link` is the last for now, and for good if the ingestion had ended before the page"
    " was asked for.\n\n`Accept` chooses between lines and an array.",
    "parameters": [parameter("batchCursor"), limit(None, 1000, "Batches on a page.")],
    "responses": {
        "200": {
            "description": "Results.",
            "headers": headers(Link="Link"),
            "content": {
                NDJSON: _LINES,
                JSONL: _LINES,
                JSON: {"schema": {"type": "array", "items": ref("Result")}, "example": examples.RESULTS},
            },
        },
        **problem_answers(OF_ONE),
    },
}

INGESTIONS: Node = {
    "operationId": "ingestions",
    "tags": ["Lists"],
    "summary": "List ingestions, newest first.",
    "parameters": [
        _names("status", Status, "triggered,failed"),
        _names("priority", Priority, "HIGH"),
        limit(20, 100, "Ingestions on a page."),
        {
            "name": "cursor",
            "in": "query",
            "description": "The `next_cursor` of the page before, with the same filters.",
            "schema": {"type": "string", "pattern": "^[A-Za-z0-9_-]+$"},
        },
    ],
    "responses": {
        "200": answer(
            "A page.",
            "IngestionPage",
            examples.INGESTIONS,
            headers=headers(Link="Link"),
        ),
        **problem_answers(READING),
    },
}

INGESTION: Node = {
    "operationId": "ingestion",
    "tags": ["Lists"],
    "summary": "Show an ingestion without its batches, with a forecast.",
    "parameters": [parameter("ifNoneMatch")],
    "responses": {
        "200": answer("The ingestion.", "Summary", examples.SUMMARY, headers=POLLED_HEADERS),
        "304": unchanged(),
        **problem_answers(OF_ONE),
    },
}
