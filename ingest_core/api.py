"""The HTTP contract without a web framework: a request in, an answer out, every error as RFC 9457 asks.

A caller never sees a stack trace, and nothing that a caller sends makes a 500.
"""

import json
import math
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import wraps
from urllib.parse import urlencode

from ingest_core.contract import check_idempotency_key, parse_request
from ingest_core.errors import Problem
from ingest_core.health import Health
from ingest_core.service import Page, Paged, Service

JSON = "application/json"
NDJSON = "application/x-ndjson"
PROBLEM = "application/problem+json"
DEFAULT_LIMIT = 100
MAX_LIMIT = 1000


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a handler sees of a request. Header names are in lower case."""

    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    path: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What is sent back."""

    status: int
    body: str
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Context:
    """What handlers need."""

    service: Service
    health: Callable[[], Awaitable[Health]]
    board: Callable[[], Awaitable[str]]
    max_ids: int
    interval: float

    @property
    def retry_after(self) -> str:
        """The interval in whole seconds, rounded up: nothing changes sooner."""
        return str(math.ceil(self.interval))


Handler = Callable[[Context, Request], Awaitable[Answer]]


def serves(*methods: str) -> Callable[[Handler], Handler]:
    """Refuse other methods with 405 (RFC 9110, section 15.5.6); the host by itself would answer an empty 404."""

    def decorate(handler: Handler) -> Handler:
        @wraps(handler)
        async def checked(context: Context, request: Request) -> Answer:
            if request.method.upper() not in methods:
                allow = ", ".join(methods)
                raise Problem(405, "Method not allowed", f"This path serves {allow}.", headers={"Allow": allow})
            return await handler(context, request)

        return checked

    return decorate


@serves("POST")
async def ingest(context: Context, request: Request) -> Answer:
    """`POST /ingest`."""
    if "chunked" in request.headers.get("transfer-encoding", "").lower():
        raise Problem(
            411,
            "Content-Length required",
            "Send the body with a Content-Length: a chunked body reaches no function of this host.",
        )
    parsed = parse_request(request.body, max_ids=context.max_ids)
    key = check_idempotency_key(request.headers.get("idempotency-key"))
    ingestion_id = str(await context.service.accept(parsed, idempotency_key=key))
    return _accepted(context, {"ingestion_id": ingestion_id})


@serves("POST")
async def retry(context: Context, request: Request) -> Answer:
    """`POST /ingestions/{ingestion_id}/retry`."""
    retry_of = request.path["ingestion_id"].lower()
    retry_id = str(await context.service.retry(retry_of))
    return _accepted(context, {"ingestion_id": retry_id, "retry_of": retry_of})


@serves("GET", "HEAD")
async def status(context: Context, request: Request) -> Answer:
    """`GET /status/{ingestion_id}`."""
    return Answer(status=200, body=await context.service.status(request.path["ingestion_id"]))


@serves("GET", "HEAD")
async def batches(context: Context, request: Request) -> Answer:
    """`GET /status/{ingestion_id}/batches`."""
    page = _page(request)
    found = await context.service.batches(request.path["ingestion_id"], page)
    path = f"/status/{request.path['ingestion_id']}/batches"
    body = f'{{"batches": [{", ".join(found.lines)}]}}'
    return Answer(status=200, body=body, headers=_links(path, page, found))


@serves("GET", "HEAD")
async def results(context: Context, request: Request) -> Answer:
    """`GET /results/{ingestion_id}`: NDJSON, or an array where JSON is asked for."""
    page = _page(request)
    found = await context.service.results(request.path["ingestion_id"], page)
    headers = _links(f"/results/{request.path['ingestion_id']}", page, found)
    if JSON in request.headers.get("accept", ""):
        return Answer(status=200, body=f"[{', '.join(found.lines)}]", headers=headers)
    body = "".join(f"{line}\n" for line in found.lines)
    return Answer(status=200, body=body, content_type=NDJSON, headers=headers)


@serves("GET", "HEAD")
async def health(context: Context, _: Request) -> Answer:
    """`GET /health`."""
    found = await context.health()
    if found.stalled:
        raise Problem(503, "Work is not being dispatched", found.stalled)
    fields = {
        "status": "ok",
        "waiting": found.waiting,
        "last_start": found.last_start or None,
        "paused": found.paused or None,
        "paused_until": found.paused_until.isoformat() if found.paused_until else None,
    }
    return Answer(status=200, body=json.dumps(fields))


@serves("GET", "HEAD")
async def board(context: Context, _: Request) -> Answer:
    """`GET /board`: what the page shows."""
    return Answer(status=200, body=await context.board(), headers={"Cache-Control": "no-store"})


def problem_answer(problem: Problem) -> Answer:
    """An error answer."""
    fields: dict[str, object] = {"title": problem.title, "status": problem.status, "detail": problem.detail}
    if problem.errors:
        fields["errors"] = problem.errors
    return Answer(status=problem.status, body=json.dumps(fields), content_type=PROBLEM, headers=problem.headers)


def _accepted(context: Context, fields: dict[str, str]) -> Answer:
    headers = {"Location": f"/status/{fields['ingestion_id']}", "Retry-After": context.retry_after}
    return Answer(status=202, body=json.dumps(fields), headers=headers)


def _page(request: Request) -> Page:
    """Read `cursor` and `limit`. Raises `Problem` 422."""
    cursor = _number(request, "cursor", default=0, least=0, most=10**6)
    return Page(cursor=cursor, limit=_number(request, "limit", default=DEFAULT_LIMIT, least=1, most=MAX_LIMIT))


def _number(request: Request, name: str, *, default: int, least: int, most: int) -> int:
    text = request.query.get(name, str(default))
    if re.fullmatch(r"[0-9]{1,7}", text) and least <= int(text) <= most:
        return int(text)
    detail = f"Give {name} as an integer from {least} to {most}, or leave it out."
    raise Problem(422, "Query parameter is not usable", detail)


def _links(path: str, page: Page, found: Paged) -> dict[str, str]:
    """Where the next page is (RFC 8288), if there is one now."""
    if found.next_cursor is None:
        return {}
    query = urlencode({"cursor": found.next_cursor, "limit": page.limit})
    return {"Link": f'<{path}?{query}>; rel="next"'}
