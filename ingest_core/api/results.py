"""`GET /results/{ingestion_id}`: what was fetched, a line of JSON for each ID, or an array where that is asked for.

There are two ways to read results. With `limit`, the answer is a page: nothing but results, and `Link: rel="next"`
while there is more now; programs follow it. Without `limit`, the answer is for `curl … > out.ndjson`, which follows no
link: it has everything before the first batch that has not ended, up to 32 MiB. If that is not all there will ever be,
its last line is `{"next": "/results/…?cursor=…"}`. So a file that does not end with such a line is complete, and nobody
takes the first part for the whole. The line cannot be mistaken for a result, which has an `id`.
"""

from urllib.parse import urlencode

from ingest_core.api.messages import JSON, NO_CACHE, Answer, Request
from ingest_core.api.negotiation import preferred_type
from ingest_core.api.queries import number, parameters
from ingest_core.api.routing import Context, path_id, resource
from ingest_core.api.views import result_text

MAX_LIMIT = 1000
MAX_CURSOR = 10**6


async def _read(context: Context, request: Request) -> Answer:
    values = parameters(request, "cursor", "limit")
    ingestion_id = path_id(request)
    cursor = number(values, "cursor", default=0, least=0, most=MAX_CURSOR)
    if "limit" in values:
        limit = number(values, "limit", default=MAX_LIMIT, least=1, most=MAX_LIMIT)
        page = await context.service.results(ingestion_id, cursor=cursor, limit=limit)
        query = {"cursor": page.next_cursor, "limit": limit}
    else:
        page = await context.service.all_results(ingestion_id, cursor=cursor)
        query = {"cursor": page.next_cursor}
    following = f"/results/{ingestion_id}?{urlencode(query)}"
    lines = [result_text(item) for item in page.items]
    if "limit" not in values and not page.is_complete:
        lines.append(f'{{"next": "{following}"}}')
    headers = {**NO_CACHE, "Vary": "Accept"}
    if page.has_more:
        headers["Link"] = f'<{following}>; rel="next"'
    media_type = preferred_type(request.headers.get("accept", ""))
    body = f"[{', '.join(lines)}]\n" if media_type == JSON else "".join(f"{line}\n" for line in lines)
    return Answer(status=200, body=body, content_type=media_type, headers=headers)


results = resource(GET=_read)
