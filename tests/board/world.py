"""A scripted service for the states of the board that a real service does not show on demand.

It serves the real pages. Its answers are values that a test sets: lanes, lists, and what goes wrong. Every request is
kept, so that a test can say what the page asked for.
"""

import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from ingest_core.api.messages import Request
from ingest_core.api.pages import BOARD, DOCS, answer_page

INTERVAL_SECONDS = 1.0
BATCH = 3
ENDED = ("completed", "failed", "cancelled")


def at(seconds: float = 0) -> str:
    """Return the instant that lies so many seconds ahead."""
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


def list_id(number: int) -> str:
    """Return the ID of the list of this number."""
    return f"00000000-0000-4000-8000-{number:012d}"


def summary(number: int, **fields: Any) -> dict[str, Any]:
    """Return the summary of a list of 30 IDs that waits; `fields` replace its fields, `counts` are merged."""
    counts = {"ids": 30, "errors": 0, "batches": 10, "yet_to_start": 10, "triggered": 0}
    counts |= {"completed": 0, "failed": 0, "cancelled": 0} | fields.pop("counts", {})
    status = fields.get("status", "yet_to_start")
    forecast = {"ingestions_ahead": 0, "batches_ahead": 0, "starts_at": at(5), "ends_at": at(60)}
    return {
        "ingestion_id": list_id(number),
        "status": status,
        "priority": "MEDIUM",
        "label": f"List {number}",
        "created_at": at(-100),
        "ended_at": at(-5) if status in ENDED else None,
        "retry_of": None,
        "retried_by": None,
        "counts": counts,
        "in_flight": [],
        "forecast": None if status in ENDED else forecast,
        "cancel_requested_at": None,
        "cancel_reason": None,
    } | fields


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One request of the page."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: Any


@dataclass(frozen=True, kw_only=True)
class Reply:
    """One answer."""

    status: int = 200
    body: object = None
    headers: dict[str, str] = field(default_factory=dict)


def problem(status: int, slug: str, title: str, detail: str, **more: object) -> Reply:
    """Return an error answer."""
    body = {"type": f"/problems/{slug}", "title": title, "status": status, "detail": detail, **more}
    return Reply(status=status, body=body, headers={"Content-Type": "application/problem+json"})


STORAGE_GONE = problem(503, "storage-unavailable", "Storage cannot be reached", "Try again later.")


class World:
    """What the scripted service is like now."""

    def __init__(self) -> None:
        self.lists: dict[str, dict[str, Any]] = {}
        self.pauses: dict[str, dict[str, Any]] = {}
        self.throttled: dict[str, Any] | None = None
        self.running: list[dict[str, Any]] = []
        self.last_start_at: str | None = None
        self.trouble: Reply | None = None
        self.problems: dict[tuple[str, str], Reply] = {}
        self.key: str | None = None
        self.openapi: dict[str, Any] | None = None
        self.delays: dict[str, float] = {}
        self.is_silent = False
        self.is_busy = False
        self.asked: list[Asked] = []

    def add(self, *summaries: dict[str, Any]) -> None:
        """Put lists in."""
        self.lists |= {one["ingestion_id"]: one for one in summaries}

    def count(self, method: str, path: str) -> int:
        """Return how often the page sent this request."""
        return sum((one.method, one.path) == (method, path) for one in self.asked)

    def lanes(self) -> dict[str, Any]:
        """Return the answer of `GET /lanes`; a busy service has just started another batch."""
        if self.is_busy:
            self.last_start_at = at()
        return {
            "now": at(),
            "interval_seconds": INTERVAL_SECONDS,
            "last_start_at": self.last_start_at,
            "next_slot_at": at(0.5),
            "throttled": self.throttled,
            "paused": self.pauses.get("ALL"),
            "running": self.running,
            "lanes": {name: self._lane(name) for name in ("HIGH", "MEDIUM", "LOW")},
        }

    def _lane(self, name: str) -> dict[str, Any]:
        open_ones = [one for one in self.lists.values() if one["priority"] == name and one["status"] not in ENDED]
        paused = self.pauses.get(name)
        return {
            "paused": paused,
            "ingestions": len(open_ones),
            "batches": sum(one["counts"]["yet_to_start"] for one in open_ones),
            "oldest_at": open_ones[0]["created_at"] if open_ones else None,
            "new_list_starts_at": None if paused else at(90),
            "front": open_ones[:5],
        }

    def answer(self, asked: Asked) -> Reply:
        """Answer as the contract says."""
        if asked.path == "/openapi.json":
            return Reply(body=self.openapi) if self.openapi else Reply(status=404)
        if self.key and asked.headers.get("x-functions-key") != self.key:
            return Reply(status=401)
        problem = self.trouble or self.problems.get((asked.method, asked.path))
        return problem or self._answer(asked)

    def _answer(self, asked: Asked) -> Reply:
        match asked.method, *asked.path.strip("/").split("/"):
            case "GET", "lanes":
                return Reply(body=self.lanes())
            case "PUT" | "DELETE", "lanes", lane, "pause":
                return self._pause(asked, lane)
            case "GET", "ingestions":
                return self._list(asked.query)
            case "POST", "ingest":
                return self._accept(asked.body)
            case _, "ingestions" | "status" | "results", one, *rest if one in self.lists:
                return self._one(asked, self.lists[one], rest)
        return problem(404, "unknown-ingestion", "No such ingestion", "Check the ID.")

    def _pause(self, asked: Asked, lane: str) -> Reply:
        if asked.method == "PUT":
            self.pauses[lane] = {"reason": None, "until": None, "since": at(), **(asked.body or {})}
        else:
            self.pauses.pop(lane, None)
        return Reply(body=self.lanes())

    def _list(self, query: dict[str, list[str]]) -> Reply:
        wanted = {name: query[name][0].split(",") for name in ("status", "priority") if name in query}
        found = [
            one for one in reversed(self.lists.values()) if all(one[name] in values for name, values in wanted.items())
        ]
        start, limit = int(query.get("cursor", ["0"])[0]), int(query.get("limit", ["20"])[0])
        following = str(start + limit) if len(found) > start + limit else None
        return Reply(body={"ingestions": found[start : start + limit], "next_cursor": following})

    def _accept(self, body: dict[str, Any]) -> Reply:
        number = len(self.lists) + 1
        batches = -(-len(body["ids"]) // BATCH)
        ended = int(self.is_busy)  # a busy service has ended a batch before the page looks
        counts = {"ids": len(body["ids"]), "batches": batches, "completed": ended, "yet_to_start": batches - ended}
        self.add(summary(number, priority=body["priority"], label=body.get("label"), counts=counts))
        return Reply(status=202, body={"ingestion_id": list_id(number)})

    def _one(self, asked: Asked, one: dict[str, Any], rest: list[str]) -> Reply:
        kind = asked.path.split("/")[1]
        match asked.method, kind, *rest:
            case "GET", "results":
                return Reply(body=[])
            case "GET", "status", "batches":
                start = int(asked.query["cursor"][0])
                return Reply(body={"batches": batches_of(one)[start : start + 20]})
            case "GET", "status":
                return Reply(body={"batches": batches_of(one)})
            case "PATCH", "ingestions":
                one["priority"] = asked.body["priority"]
            case "POST", "ingestions", "cancel":
                one |= {"status": "cancelled", "cancel_reason": asked.body.get("reason"), "ended_at": at()}
            case "POST", "ingestions", "retry":
                again = summary(len(self.lists) + 1, retry_of=one["ingestion_id"])
                one["retried_by"] = again["ingestion_id"]
                self.add(again)
                return Reply(status=202, body={"ingestion_id": again["ingestion_id"]})
        return Reply(body=one, headers={"ETag": f'"{hash(json.dumps(one))}"'})


def batches_of(one: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a list's batches: failed ones (first, unless the list says which), completed ones, and those that wait."""
    counts = one["counts"]
    failed = one.get("failed_batches", range(counts["failed"]))
    found = []
    for index in range(counts["batches"]):
        has_failed, has_ended = index in failed, index < counts["failed"] + counts["completed"]
        status = "failed" if has_failed else "completed" if has_ended else "yet_to_start"
        shown = {"batch_id": f"batch-{index}", "ids": [3 * index + 1, 3 * index + 2, 3 * index + 3], "status": status}
        shown |= {"attempts": 5 if has_failed else int(has_ended), "triggered_at": at(-30) if has_ended else None}
        shown |= {
            "completed_at": at(-20) if has_ended else None,
            "error": "the API answered 500" if has_failed else None,
        }
        found.append(shown)
    return found


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    world: World

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _handle(self) -> None:
        data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        url = urlsplit(self.path)
        name = {"/": BOARD, "/docs": DOCS}.get(url.path) or (re.match(r"/pages/(.+)", url.path) or [None, None])[1]
        if name:
            headers = {key.lower(): value for key, value in self.headers.items()}
            found = answer_page(name, Request(method=self.command, headers=headers))
            self._reply(found.status, found.body.encode(), {"Content-Type": found.content_type, **found.headers})
            return
        asked = Asked(
            method=self.command,
            path=url.path,
            query=parse_qs(url.query),
            headers={key.lower(): value for key, value in self.headers.items()},
            body=json.loads(data) if data else None,
        )
        self.world.asked.append(asked)
        time.sleep(self.world.delays.get(asked.path, 0))
        if self.world.is_silent:
            self.close_connection = True
            return
        reply = self.world.answer(asked)
        etag = reply.headers.get("ETag")
        if etag and asked.headers.get("if-none-match") == etag:
            self._reply(304, b"", reply.headers)
        else:
            body = b"" if reply.body is None else json.dumps(reply.body).encode()
            self._reply(reply.status, body, {"Content-Type": "application/json", **reply.headers})

    def _reply(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _handle  # noqa: N815 # http.server's names


@contextmanager
def serving(world: World) -> Iterator[str]:
    """Serve the world on a free port of loopback; give its URL."""
    handler = type("Handler", (_Handler,), {"world": world})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
