"""Serves the files under `pages/`: the board, the docs page, and their styles and modules.

They hold no data and need no key. They load nothing from any other host, and their Content-Security-Policy
enforces this. This module needs neither settings nor storage, so that the pages open whatever else is wrong.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType

from ingest_core.api.messages import Answer, Request
from ingest_core.api.negotiation import entity_tag, has_already
from ingest_core.api.problems import KINDS, UNKNOWN_PAGE, Problem, problem_answer, wrong_method

BOARD = "board.html"
DOCS = "docs.html"

CONTENT_TYPES = MappingProxyType(
    {
        "html": "text/html",
        "css": "text/css",
        "js": "text/javascript",
        "svg": "image/svg+xml",
    }
)
"""Without a charset, because the Functions host adds one. A file of any other type is not served."""

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

COMMON_HEADERS = MappingProxyType(
    {
        "Content-Security-Policy": CONTENT_SECURITY_POLICY,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-cache",
    }
)
"""`no-cache` lets a browser keep a file, but it asks each time whether the file is still the same."""


@dataclass(frozen=True, kw_only=True)
class _File:
    body: str
    content_type: str
    etag: str


def answer_page(name: str, request: Request) -> Answer:
    """The file of this name, or 304 if the caller has it."""
    if request.method.upper() not in ("GET", "HEAD"):
        return problem_answer(wrong_method("GET, HEAD"))
    file = _files().get(name)
    if file is None:
        return problem_answer(Problem(UNKNOWN_PAGE, "The board is at /, and it names every file that it needs."))
    is_known = has_already(request, file.etag)
    return Answer(
        status=304 if is_known else 200,
        body="" if is_known else file.body,
        content_type=file.content_type,
        headers={**COMMON_HEADERS, "ETag": file.etag},
    )


def answer_problem_type(slug: str, request: Request) -> Answer:
    """Redirect to the explanation of a type of problem."""
    if request.method.upper() not in ("GET", "HEAD"):
        return problem_answer(wrong_method("GET, HEAD"))
    if slug not in {kind.slug for kind in KINDS}:
        return problem_answer(Problem(UNKNOWN_PAGE, "There is no such type of problem; /docs lists all of them."))
    return Answer(status=303, body="", headers={"Location": f"/docs#problem-{slug}"})


@cache
def _files() -> Mapping[str, _File]:
    """Every file that may be served, by its name. Only these names are ever looked up, so no path can escape."""
    served: dict[str, _File] = {}
    for entry in files("ingest_core.api").joinpath("pages").iterdir():
        content_type = CONTENT_TYPES.get(entry.name.rpartition(".")[2])
        if content_type is None:
            continue
        body = entry.read_text(encoding="utf-8")
        served[entry.name] = _File(body=body, content_type=content_type, etag=entity_tag(body))
    return MappingProxyType(served)
