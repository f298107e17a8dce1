"""Two servers for the tests of the command line, with one handler.

`ContractApi` keeps the documented contract in memory, so that the happy paths can be tested without storage. A test
may put scripted answers before it: they play what a real service does not do on demand (503, lost or cut answers).
"""

import json
import threading
import time
import uuid
from collections import defaultdict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

BATCH = 3
PAGE = 2
"""Batches on a page of results, so that short lists have several pages."""


@dataclass(frozen=True, kw_only=True)
class Scripted:
    """One answer. `accept` lets the request take effect before the answer is lost or delayed."""

    status: int = 200
    body: object = None
    headers: dict[str, str] = field(default_factory=dict)
    lost: bool = False
    accept: bool = False
    cut: bool = False
    delay_seconds: float = 0


@dataclass(frozen=True, kw_only=True)
class Received:
    """One request."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any


class ContractApi:
    """The API in memory: with every look at an ingestion, one of its batches ends."""

    def __init__(self) -> None:
        self.lists: dict[str, dict[str, Any]] = {}
        self.pauses: dict[str, dict[str, Any]] = {}
        self.requests: list[Received] = []
        self.scripts: dict[tuple[str, str], deque[Scripted]] = defaultdict(deque)
        self.stands_still = False

    def script(self, method: str, path: str, *answers: Scripted) -> None:
        """Give these answers to the next requests of this path."""
        self.scripts[method, path].extend(answers)

    def answer(self, received: Received) -> Scripted:
        """Give the answer of the contract."""
        url = urlsplit(received.path)
        query, parts = dict(parse_qsl(url.query)), url.path.strip("/").split("/")
        match received.method, *parts:
            case "POST", "ingest":
                return self._accept(received)
            case "GET", "ingestions":
                return self._list(query)
            case "PUT" | "DELETE", "lanes", lane, "pause":
                return self._pause(received, lane)
            case method, "ingestions" | "results" as kind, ingestion_id, *rest if ingestion_id in self.lists:
                return self._one(f"{method} {'/'.join([kind, *rest])}", self.lists[ingestion_id], received.body, query)
        return problem(404, "No such ingestion", "Check the ID.", "unknown-ingestion")

    def _accept(self, received: Received) -> Scripted:
        body = received.body
        wrong = [index for index, one in enumerate(body["ids"]) if not 1 <= one <= 10**9 + 7]
        if wrong:
            errors = [{"pointer": f"/ids/{one}", "detail": "Must be an integer from 1 to 1000000007."} for one in wrong]
            return problem(422, "Request is not valid", "Fix the fields listed in `errors`.", "invalid-request", errors)
        ingestion_id = str(uuid.uuid5(uuid.NAMESPACE_OID, received.headers["idempotency-key"]))
        found = {"ingestion_id": ingestion_id, "label": body.get("label"), "priority": body["priority"]}
        found |= {"ids": body["ids"], "ended": 0, "cancelled": 0, "created_at": now().isoformat(), "reason": None}
        self.lists.setdefault(ingestion_id, found)
        return Scripted(status=202, body={"ingestion_id": ingestion_id}, headers={"Retry-After": "1"})

    def _one(self, call: str, one: dict[str, Any], body: Any, query: dict[str, str]) -> Scripted:
        match call:
            case "GET ingestions":
                shown = self.summary(one)
                if not self.stands_still and shown["status"] in {"yet_to_start", "triggered"}:
                    one["ended"] += 1
                return Scripted(body=shown, headers={"ETag": f'"{one["ended"]}"', "Retry-After": "1"})
            case "GET results":
                return self._results(one, int(query.get("cursor", 0)))
            case "PATCH ingestions":
                one["priority"] = body["priority"]
            case "POST ingestions/cancel":
                one["cancelled"] = batches(one) - one["ended"]
                one["reason"] = (body or {}).get("reason")
            case "POST ingestions/retry":
                if not one["cancelled"]:
                    return problem(409, "Nothing to retry", "No batch has failed.", "nothing-to-retry")
                return Scripted(status=202, body={"ingestion_id": str(uuid.uuid4()), "retry_of": one["ingestion_id"]})
        return Scripted(body=self.summary(one))

    def _results(self, one: dict[str, Any], cursor: int) -> Scripted:
        until = min(cursor + PAGE, one["ended"])
        ids = one["ids"][cursor * BATCH : until * BATCH]
        text = "".join(f'{{"id": {item_id}, "data": {{"name": "Zoë"}}}}\n' for item_id in ids)
        following = f"/results/{one['ingestion_id']}?{urlencode({'cursor': until, 'limit': 1000})}"
        links = {"Link": f'<{following}>; rel="next"'} if until < one["ended"] else {}
        return Scripted(body=text.encode(), headers=links)

    def _list(self, query: dict[str, str]) -> Scripted:
        found = [self.summary(one) for one in reversed(self.lists.values())]
        statuses = query.get("status")
        chosen = [one for one in found if not statuses or one["status"] in statuses.split(",")]
        start, limit = int(query.get("cursor", 0)), int(query.get("limit", 20))
        more = str(start + limit) if start + limit < len(chosen) else None
        links = {"Link": f'</ingestions?{urlencode({**query, "cursor": more})}>; rel="next"'} if more else {}
        return Scripted(body={"ingestions": chosen[start : start + limit], "next_cursor": more}, headers=links)

    def _pause(self, received: Received, lane: str) -> Scripted:
        if received.method == "PUT":
            given = received.body or {}
            pause = {"reason": given.get("reason"), "since": now().isoformat(), "until": given.get("until")}
            self.pauses[lane] = pause
        else:
            self.pauses.pop(lane, None)
        lanes = {
            one: {"paused": self.pauses.get(one), "ingestions": 0, "batches": 0} for one in ("HIGH", "MEDIUM", "LOW")
        }
        return Scripted(body={"now": now().isoformat(), "paused": self.pauses.get("ALL"), "lanes": lanes})

    def summary(self, one: dict[str, Any]) -> dict[str, Any]:
        """Show an ingestion as `GET /ingestions/{id}` does."""
        left = batches(one) - one["ended"] - one["cancelled"]
        counts = {"ids": len(one["ids"]), "errors": 0, "batches": batches(one), "yet_to_start": left, "triggered": 0}
        counts |= {"completed": one["ended"], "failed": 0, "cancelled": one["cancelled"]}
        status = ("triggered" if one["ended"] else "yet_to_start") if left else "completed"
        ends_at = (now() + timedelta(seconds=left)).isoformat()
        forecast = {"ingestions_ahead": 0, "batches_ahead": 0, "starts_at": ends_at, "ends_at": ends_at}
        return {
            "ingestion_id": one["ingestion_id"],
            "label": one["label"],
            "priority": one["priority"],
            "status": "cancelled" if one["cancelled"] else status,
            "created_at": one["created_at"],
            "cancel_reason": one["reason"],
            "counts": counts,
            "forecast": forecast if left else None,
        }


def batches(one: dict[str, Any]) -> int:
    """Return how many batches the IDs make."""
    return -(-len(one["ids"]) // BATCH)


def now() -> datetime:
    """Return the time of day."""
    return datetime.now(UTC)


def problem(status: int, title: str, detail: str, slug: str, errors: object = None) -> Scripted:
    """Return an error answer."""
    body = {"type": f"/problems/{slug}", "title": title, "status": status, "detail": detail}
    body |= {"errors": errors} if errors else {}
    return Scripted(status=status, body=body, headers={"Content-Type": "application/problem+json"})


@contextmanager
def serving(api: ContractApi) -> Iterator[str]:
    """Serve it on a free port of loopback; give its URL."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def _handle(self) -> None:
            data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            received = Received(
                method=self.command, path=self.path, headers=headers, body=json.loads(data) if data else None
            )
            api.requests.append(received)
            script = api.scripts[self.command, urlsplit(self.path).path]
            answer = script.popleft() if script else api.answer(received)
            if answer.accept:
                api.answer(received)
            time.sleep(answer.delay_seconds)
            if not answer.lost:
                self._reply(answer)
            self.close_connection = True

        def _reply(self, answer: Scripted) -> None:
            body = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode() + b"\n"
            self.send_response_only(answer.status)
            for name, value in ({"Date": self.date_time_string()} | answer.headers).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: len(body) // 2] if answer.cut else body)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _handle  # noqa: N815 # http.server's names

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
