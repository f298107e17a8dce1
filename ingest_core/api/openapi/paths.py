"""The operations of the OpenAPI document, in the order in which the docs page shows them."""

from ingest_core.api.messages import JSON
from ingest_core.api.openapi import examples
from ingest_core.api.openapi.lists import BATCHES, INGEST, INGESTION, INGESTIONS, RESULTS, STATUS, links
from ingest_core.api.openapi.parts import (
    ACCEPTED_HEADERS,
    OF_ONE,
    OPEN,
    POLLED_HEADERS,
    READING,
    WITH_BODY,
    Node,
    answer,
    headers,
    json_body,
    parameter,
    problem_answers,
)
from ingest_core.api.problems import (
    ENDED,
    INTERNAL_ERROR,
    NOT_DISPATCHING,
    NOT_ENDED,
    NOTHING_TO_RETRY,
    STORAGE_UNAVAILABLE,
    UNKNOWN_LANE,
    UNKNOWN_PAGE,
    WRONG_SETTING,
)

TAGS: list[Node] = [
    {"name": "Lists", "description": "Submit lists of IDs and read what becomes of them."},
    {"name": "Steering", "description": "Cancel, retry and re-prioritise lists; pause lanes."},
    {"name": "Service", "description": "How the service is doing."},
    {"name": "Pages", "description": "Pages for people. They hold no data and need no key."},
]

_ID = [parameter("ingestionId")]

_CHANGE_PRIORITY: Node = {
    "operationId": "changePriority",
    "tags": ["Steering"],
    "summary": "Put an ingestion at the back of another lane.",
    "requestBody": json_body(
        "PriorityChange", examples.PRIORITY, required=True, also=("application/merge-patch+json",)
    ),
    "responses": {
        "200": answer("Changed.", "Summary", examples.SUMMARY, headers=POLLED_HEADERS),
        **problem_answers([*OF_ONE, *WITH_BODY, ENDED]),
    },
}

_CANCEL: Node = {
    "operationId": "cancel",
    "tags": ["Steering"],
    "summary": "Start no further batch of an ingestion.",
    "description": "A batch that is running ends and is recorded. A repeat changes nothing and keeps the first reason.",
    "requestBody": json_body("CancelRequest", examples.CANCEL, required=False),
    "responses": {
        "200": answer("It has ended.", "Summary", examples.SUMMARY, headers=POLLED_HEADERS),
        "202": answer("A batch is still running.", "Summary", examples.SUMMARY, headers=POLLED_HEADERS),
        **problem_answers([*OF_ONE, *WITH_BODY, ENDED]),
    },
}

_RETRY: Node = {
    "operationId": "retry",
    "tags": ["Steering"],
    "summary": "Accept again the IDs that have neither data nor a final error.",
    "description": "They become a new ingestion with the same label and the present priority. A repeat starts no second"
    " retry.",
    "requestBody": json_body("RetryRequest", {}, required=False),
    "responses": {
        "202": answer(
            "Accepted.",
            "Retried",
            examples.RETRIED,
            headers=ACCEPTED_HEADERS,
            links=links("$response.body#/ingestion_id", "status", "cancel"),
        ),
        **problem_answers([*OF_ONE, *WITH_BODY, NOT_ENDED, NOTHING_TO_RETRY]),
    },
}

_LANES: Node = {
    "operationId": "lanes",
    "tags": ["Service"],
    "summary": "Show what waits, what runs, and what delays it.",
    "responses": {"200": answer("The lanes.", "Lanes", examples.LANES), **problem_answers(READING)},
}

_PAUSE: Node = {
    "operationId": "pause",
    "tags": ["Steering"],
    "summary": "Pause a lane, or everything.",
    "description": "Once this is answered, no batch of the lane starts any more; what is running ends. Lists are still"
    " accepted. A second pause replaces the reason and the end.",
    "requestBody": json_body("PauseRequest", examples.PAUSE, required=False),
    "responses": {
        "200": answer("Paused.", "Lanes", examples.LANES),
        **problem_answers([*READING, *WITH_BODY, UNKNOWN_LANE]),
    },
}

_RESUME: Node = {
    "operationId": "resume",
    "tags": ["Steering"],
    "summary": "Resume a lane, or take back the pause of everything.",
    "responses": {"200": answer("Resumed.", "Lanes", examples.LANES), **problem_answers([*READING, UNKNOWN_LANE])},
}

_HEALTH: Node = {
    "operationId": "health",
    "tags": ["Service"],
    "summary": "Say whether the service does its job.",
    "security": OPEN,
    "responses": {
        "200": answer("It does.", "Health", examples.HEALTH),
        **problem_answers([NOT_DISPATCHING, STORAGE_UNAVAILABLE, WRONG_SETTING, INTERNAL_ERROR], needs_key=False),
    },
}


_METRICS: Node = {
    "operationId": "metrics",
    "tags": ["Service"],
    "summary": "Show the state in figures, for Prometheus.",
    "description": "They come from storage and are true for all hosts together.",
    "responses": {
        "200": {
            "description": "Prometheus' text format, version 0.0.4.",
            "content": {"text/plain": {"schema": {"type": "string"}, "example": examples.METRICS}},
        },
        **problem_answers(READING),
    },
}


def _page(name: str, summary: str, *media_types: str, parameters: list[Node] | None = None) -> Node:
    """A file that is served as it is."""
    return {
        "operationId": name,
        "tags": ["Pages"],
        "summary": summary,
        "security": OPEN,
        "parameters": [*(parameters or []), parameter("ifNoneMatch")],
        "responses": {
            "200": {
                "description": "The file.",
                "headers": headers(ETag="ETag"),
                "content": {name: {"schema": {"type": "object" if name == JSON else "string"}} for name in media_types},
            },
            "304": {"description": "The caller has this file already.", "headers": headers(ETag="ETag")},
            **problem_answers([UNKNOWN_PAGE] if parameters else [], needs_key=False),
        },
    }


def _in_path(name: str, meaning: str, example: str) -> Node:
    schema = {"type": "string", "pattern": r"^[a-z._-]+$"}
    return {"name": name, "in": "path", "required": True, "description": meaning, "schema": schema, "example": example}


_PROBLEM_TYPE: Node = {
    "operationId": "problemType",
    "tags": ["Pages"],
    "summary": "Go to the explanation of a problem type.",
    "security": OPEN,
    "parameters": [_in_path("slug", "The last part of a problem's `type`.", "invalid-request")],
    "responses": {
        "303": {"description": "The explanation on the docs page.", "headers": headers(Location="Location")},
        **problem_answers([UNKNOWN_PAGE], needs_key=False),
    },
}

PATHS: Node = {
    "/ingest": {"post": INGEST},
    "/status/{ingestion_id}": {"parameters": _ID, "get": STATUS},
    "/status/{ingestion_id}/batches": {"parameters": _ID, "get": BATCHES},
    "/results/{ingestion_id}": {"parameters": _ID, "get": RESULTS},
    "/ingestions": {"get": INGESTIONS},
    "/ingestions/{ingestion_id}": {"parameters": _ID, "get": INGESTION, "patch": _CHANGE_PRIORITY},
    "/ingestions/{ingestion_id}/cancel": {"parameters": _ID, "post": _CANCEL},
    "/ingestions/{ingestion_id}/retry": {"parameters": _ID, "post": _RETRY},
    "/lanes": {"get": _LANES},
    "/lanes/{switch}/pause": {"parameters": [parameter("switch")], "put": _PAUSE, "delete": _RESUME},
    "/health": {"get": _HEALTH},
    "/metrics": {"get": _METRICS},
    "/openapi.json": {"get": _page("openapi", "This document.", JSON)},
    "/docs": {"get": _page("docs", "This document, for people.", "text/html")},
    "/": {"get": _page("home", "The board: what runs, what waits, and for how long.", "text/html")},
    "/pages/{file}": {
        "get": _page(
            "pages",
            "A style, a script or a picture of a page.",
            "text/css",
            "text/javascript",
            "text/html",
            "image/svg+xml",
            parameters=[_in_path("file", "A name that a page asks for.", "style.css")],
        )
    },
    "/problems/{slug}": {"get": _PROBLEM_TYPE},
}
