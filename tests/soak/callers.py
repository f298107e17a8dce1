"""Callers that never give up: each POSTs its ingestion, with a key, to one host after another until it is accepted."""

import http.client
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from threading import Event, Lock, Thread
from typing import Any
from uuid import UUID

from tests.support.hosts import Reply, call

PRIORITIES = ("HIGH", "MEDIUM", "LOW")
BATCH_SIZE = 3


@dataclass(eq=False)
class Ingestion:
    """One ingestion; no ID is used twice, so that a request at the API says whose batch it belongs to."""

    ids: Sequence[int]
    priority: str
    key: str
    sent_at: float = 0.0
    acknowledged_at: float | None = None
    ingestion_id: str = ""

    @property
    def batch_count(self) -> int:
        return -(-len(self.ids) // BATCH_SIZE)


@dataclass(frozen=True, kw_only=True)
class FailedCall:
    """An answer other than `202`, and how long it took."""

    reply: Reply
    seconds: float


class Callers:
    """A few threads that keep about `backlog` IDs waiting. `ports` gives the hosts that may be up."""

    def __init__(
        self, ports: Callable[[], Sequence[int]], *, random: Random, asked_for: Callable[[], int], backlog: int = 24
    ) -> None:
        self.ingestions: list[Ingestion] = []
        self.failed_calls: list[FailedCall] = []
        self._ports = ports
        self._random = random
        self._asked_for = asked_for
        self._backlog = backlog
        self._lock = Lock()
        self._stopping = Event()
        self._threads: list[Thread] = []
        self._items = 0

    def start(self, count: int = 3) -> None:
        """Begin to call, or call again."""
        self._stopping.clear()
        for _ in range(count):
            self._run(self._go_on)

    def finish(self, seconds: float = 60) -> None:
        """Call no more; what has been sent is sent on until it is accepted."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(seconds)
            assert not thread.is_alive(), "a caller was not answered"

    def post_in_background(self, port: int) -> None:
        """One more ingestion, first to this host, which may be about to die."""
        self._run(lambda: self.post(first=port))

    def post(self, *, first: int | None = None, size: int = 0, priority: str = "") -> Ingestion:
        """Send one ingestion until it is accepted."""
        one = self._next(size, priority)
        one.sent_at = time.monotonic()
        port = first
        while one.acknowledged_at is None:
            if not self._send(one, port or self._random.choice(list(self._ports()) or [0])):
                time.sleep(0.05)
            port = None
        return one

    def _run(self, work: Callable[[], Any]) -> None:
        thread = Thread(target=work, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _go_on(self) -> None:
        while not self._stopping.is_set():
            if self._items - self._asked_for() < self._backlog:
                self.post()
            else:
                self._stopping.wait(0.1)

    def _next(self, size: int, priority: str) -> Ingestion:
        with self._lock:
            size = size or self._random.randint(1, 9)
            ids = range(self._items + 1, self._items + size + 1)
            self._items += size
            key = str(UUID(int=self._random.getrandbits(128)))
            one = Ingestion(ids, priority or self._random.choice(PRIORITIES), key)
            self.ingestions.append(one)
            return one

    def _send(self, one: Ingestion, port: int) -> bool:
        body = {"ids": list(one.ids), "priority": one.priority}
        began = time.monotonic()
        try:
            reply = call(port, "POST", "/ingest", body, {"Idempotency-Key": one.key}, timeout=10)
        except (OSError, http.client.HTTPException):
            return False
        now = time.monotonic()
        if reply.status != 202:
            self.failed_calls.append(FailedCall(reply=reply, seconds=now - began))
            return False
        one.ingestion_id, one.acknowledged_at = reply.json["ingestion_id"], now
        return True
