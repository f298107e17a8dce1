"""`GET /openapi.json`: the API as a document (OpenAPI 3.1), made of the models that validate requests.

It is built when it is first asked for, because no other answer needs it. It needs neither settings nor storage.
"""

import json
from functools import cache
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue, models_json_schema

from ingest_core.api import steering
from ingest_core.api.bodies import IngestBody
from ingest_core.api.messages import Answer, Request
from ingest_core.api.negotiation import entity_tag, has_already
from ingest_core.api.openapi import models
from ingest_core.api.openapi.parts import HEADERS, PARAMETERS, SECURITY, SECURITY_SCHEMES
from ingest_core.api.openapi.paths import PATHS, TAGS
from ingest_core.api.pages import COMMON_HEADERS
from ingest_core.api.problems import KINDS, problem_answer, wrong_method

VERSION = "1.0.0"

DESCRIPTION = """
Lists of integer IDs are fetched from an external API in batches, and never faster than one batch per interval. The
highest priority goes first, and the oldest list first within a priority.

Every error is `application/problem+json` with a `type` that never changes. Another method on a path is answered `405`
with `Allow`, and `HEAD` as `GET`. The Functions host itself answers without a body: `400` to malformed HTTP, `401`
without a function key, `404` to an unknown path, `414` and `431` to addresses and headers that are too long, `500` to a
body of more than 100 MiB.

Fields and values of `status` may be added; what is here keeps its name, type and meaning.
"""

_MODELS = (
    IngestBody, steering.PriorityChange, steering.CancelRequest, steering.PauseRequest, steering.RetryRequest,
    models.Accepted, models.Retried, models.Summary, models.IngestionStatus, models.BatchPage,
    models.IngestionPage, models.Result, models.Lanes, models.Health, models.ProblemDetails,
)  # fmt: skip


def answer_openapi(request: Request) -> Answer:
    """The document, or 304 if the caller has it."""
    if request.method.upper() not in ("GET", "HEAD"):
        return problem_answer(wrong_method("GET, HEAD"))
    text, etag = _text()
    is_known = has_already(request, etag)
    return Answer(
        status=304 if is_known else 200, body="" if is_known else text, headers={**COMMON_HEADERS, "ETag": etag}
    )


def document() -> dict[str, Any]:
    """The document, built anew."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Ingestion service",
            "version": VERSION,
            "description": DESCRIPTION.strip(),
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "security": SECURITY,
        "tags": TAGS,
        "paths": PATHS,
        "components": {
            "schemas": _schemas(),
            "parameters": PARAMETERS,
            "headers": HEADERS,
            "securitySchemes": SECURITY_SCHEMES,
        },
        "x-problem-types": [
            {"slug": kind.slug, "title": kind.title, "status": kind.status, "description": kind.explanation}
            for kind in KINDS
        ],
    }


@cache
def _text() -> tuple[str, str]:
    text = json.dumps(document()) + "\n"
    return text, entity_tag(text)


class _Generator(GenerateJsonSchema):
    """Schemas without titles that repeat a name, and without defaults that only the code knows."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ANN401, ARG002 # pydantic's signature
        return False

    def default_schema(self, schema: Any) -> JsonSchemaValue:  # noqa: ANN401 # pydantic's signature
        return self.generate_inner(schema["schema"])


def _schemas() -> dict[str, Any]:
    definitions = models_json_schema(
        [(model, "validation") for model in _MODELS],
        ref_template="#/components/schemas/{model}",
        schema_generator=_Generator,
    )[1]["$defs"]
    for schema in definitions.values():
        schema.pop("title", None)
    return dict(sorted(definitions.items()))
