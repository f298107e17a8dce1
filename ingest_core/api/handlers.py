"""The HTTP contract without a web framework: a handler for each path, which takes a request and returns an answer."""

import json
from urllib.parse import urlencode

from ingest_core.api import bodies, queries, steering, views
from ingest_core.api.json_body import body_of
from ingest_core.api.lanes_view import lanes_text
from ingest_core.api.messages import NO_CACHE, Answer, Request
from ingest_core.api.metrics import metrics
from ingest_core.api.negotiation import entity_tag, has_already
from ingest_core.api.problems import NOT_DISPATCHING, STORAGE_UNAVAILABLE, UNKNOWN_LANE, Problem
from ingest_core.api.results import results
from ingest_core.api.routing import Context, Handler, path_id, resource, respond
from ingest_core.models import Ingestion
from ingest_core.service.overview import Overview
from ingest_core.service.service import Summary
from ingest_core.storage.gate_row import SWITCHES

__all__ = [
    "Answer",
    "Context",
    "Handler",
    "Problem",
    "Request",
    "batches",
    "cancel",
    "health",
    "ingest",
    "ingestion",
    "ingestions",
    "lanes",
    "metrics",
    "pause",
    "respond",
    "results",
    "retry",
    "status",
]

DEFAULT_BATCHES, MAX_BATCHES = 100, 1000
DEFAULT_LISTED, MAX_LISTED = 20, 100
MAX_CURSOR = 10**6


async def _ingest(context: Context, request: Request) -> Answer:
    queries.parameters(request)
    parsed = bodies.parse_request(body_of(request), max_ids=context.max_ids)
    key = bodies.idempotency_key(request.headers.get("idempotency-key"))
    ingestion_id = await context.service.accept(parsed, idempotency_key=key)
    return _accepted(context, {"ingestion_id": str(ingestion_id)})


async def _status(context: Context, request: Request) -> Answer:
    """The ETag is made of the row's own ETag, so a caller who has the answer already costs only a small read."""
    queries.parameters(request)
    ingestion_id = path_id(request)
    if "if-none-match" in request.headers:
        version = await context.service.version(ingestion_id)
        headers = _status_headers(context, version.value, version.etag)
        if has_already(request, headers["ETag"]):
            return Answer(status=304, body="", headers=headers)
    version, ids = await context.service.whole(ingestion_id)
    headers = _status_headers(context, version.value, version.etag)
    return Answer(status=200, body=views.status_text(version.value, ids), headers=headers)


async def _batches(context: Context, request: Request) -> Answer:
    values = queries.parameters(request, "cursor", "limit")
    ingestion_id = path_id(request)
    cursor = queries.number(values, "cursor", default=0, least=0, most=MAX_CURSOR)
    limit = queries.number(values, "limit", default=DEFAULT_BATCHES, least=1, most=MAX_BATCHES)
    page = await context.service.batches(ingestion_id, cursor=cursor, limit=limit)
    headers = dict(NO_CACHE)
    if page.end < page.ingestion.batch_count:
        query = urlencode({"cursor": page.end, "limit": limit})
        headers["Link"] = f'</status/{ingestion_id}/batches?{query}>; rel="next"'
    return Answer(status=200, body=views.batches_text(page), headers=headers)


async def _read_ingestion(context: Context, request: Request) -> Answer:
    queries.parameters(request)
    summary = await context.service.summary(path_id(request))
    return _summary_answer(context, request, summary)


async def _change_ingestion(context: Context, request: Request) -> Answer:
    queries.parameters(request)
    priority = steering.parse_priority(body_of(request))
    return _changed(context, await context.service.change_priority(path_id(request), priority))


async def _cancel(context: Context, request: Request) -> Answer:
    queries.parameters(request)
    reason = steering.parse_reason(body_of(request))
    summary = await context.service.cancel(path_id(request), reason=reason)
    return _changed(context, summary, status=200 if summary.ingestion.has_ended else 202)


async def _retry(context: Context, request: Request) -> Answer:
    queries.parameters(request)
    steering.parse_nothing(body_of(request))
    retry = await context.service.retry(path_id(request))
    return _accepted(context, {"ingestion_id": str(retry.ingestion_id), "retry_of": str(retry.retry_of)})


async def _list(context: Context, request: Request) -> Answer:
    values = queries.parameters(request, "status", "priority", "limit", "cursor")
    chosen = queries.filters(values)
    limit = queries.number(values, "limit", default=DEFAULT_LISTED, least=1, most=MAX_LISTED)
    page = await context.service.list(chosen, limit=limit, after=queries.key_of_cursor(values, chosen))
    is_any_open = any(isinstance(listed, Ingestion) and not listed.has_ended for listed in page.ingestions)
    forecasts = (await context.service.overview()).forecasts if is_any_open else {}
    fields = [views.listed_fields(listed, forecasts.get(listed.ingestion_id)) for listed in page.ingestions]
    cursor = queries.cursor_text(chosen, page.next_after) if page.next_after else None
    headers = dict(NO_CACHE)
    if cursor:
        headers["Link"] = f'</ingestions?{urlencode({**values, "cursor": cursor}, safe=",")}>; rel="next"'
    body = json.dumps({"ingestions": fields, "next_cursor": cursor}) + "\n"
    return Answer(status=200, body=body, headers=headers)


async def _lanes(context: Context, request: Request) -> Answer:
    queries.parameters(request)
    return _lanes_answer(context, await context.service.overview())


async def _pause(context: Context, request: Request) -> Answer:
    queries.parameters(request)
    switch = _switch(request)
    body = steering.parse_pause(body_of(request), now=context.clock.now())
    return _lanes_answer(context, await context.service.pause(switch, reason=body.reason, until=body.until))


async def _resume(context: Context, request: Request) -> Answer:
    queries.parameters(request)
    return _lanes_answer(context, await context.service.resume(_switch(request)))


async def _health(context: Context, _: Request) -> Answer:
    """Open to everybody, so no text that a person or the API has written is in it."""
    state = await context.health()
    if state.denied_calls:
        denied = "; ".join(state.denied_calls)
        raise Problem(
            STORAGE_UNAVAILABLE,
            f"Storage does not permit what the service needs: {denied}. Check the key or the SAS in"
            " AzureWebJobsStorage, or the roles of the identity.",
        )
    if state.stalled_reason:
        raise Problem(NOT_DISPATCHING, state.stalled_reason)
    gate = state.gate
    fields = {
        "status": "ok",
        "waiting": state.waiting,
        "last_start_at": views.moment(gate.last_start_at),
        "throttled_until": views.moment(gate.throttle.until if gate.throttle else None),
        "down_since": gate.down_since or None,
        "paused_lanes": gate.paused_switches,
    }
    return Answer(status=200, body=json.dumps(fields) + "\n", headers=NO_CACHE)


ingest = resource(POST=_ingest)
status = resource(GET=_status)
batches = resource(GET=_batches)
ingestions = resource(GET=_list)
ingestion = resource(GET=_read_ingestion, PATCH=_change_ingestion)
cancel = resource(POST=_cancel)
retry = resource(POST=_retry)
lanes = resource(GET=_lanes)
pause = resource(PUT=_pause, DELETE=_resume)
health = resource(GET=_health)


def _accepted(context: Context, fields: dict[str, str]) -> Answer:
    headers = {"Location": f"/status/{fields['ingestion_id']}", "Retry-After": context.retry_after}
    return Answer(status=202, body=json.dumps(fields) + "\n", headers=headers)


def _status_headers(context: Context, ingestion: Ingestion, row_etag: str) -> dict[str, str]:
    headers = {**NO_CACHE, "ETag": entity_tag(row_etag)}
    return headers if ingestion.has_ended else {**headers, "Retry-After": context.retry_after}


def _changed(context: Context, summary: Summary, *, status: int = 200) -> Answer:
    """The summary after a change, which a caller does not have yet."""
    return _summary_answer(context, None, summary, status=status)


def _summary_answer(context: Context, request: Request | None, summary: Summary, *, status: int = 200) -> Answer:
    body = views.summary_text(summary.ingestion, summary.forecast)
    headers = {**NO_CACHE, "ETag": entity_tag(body)}
    if not summary.ingestion.has_ended:
        headers["Retry-After"] = context.next_change(summary)
    if request and has_already(request, headers["ETag"]):
        return Answer(status=304, body="", headers=headers)
    return Answer(status=status, body=body, headers=headers)


def _lanes_answer(context: Context, overview: Overview) -> Answer:
    return Answer(status=200, body=lanes_text(overview, interval=context.interval), headers=NO_CACHE)


def _switch(request: Request) -> str:
    """The switch in the path: a lane, or ALL."""
    for switch in SWITCHES:
        if request.path["switch"] == switch:
            return str(switch)
    raise Problem(UNKNOWN_LANE, f"Give one of {', '.join(SWITCHES)}.")
