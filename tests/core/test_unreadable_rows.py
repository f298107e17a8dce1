"""Tests of rows that nobody can read: the whole service goes on with others, and sets each message aside once."""

import asyncio
import json
from collections import Counter
from contextlib import suppress
from typing import Any
from uuid import uuid4

import pytest
from azure.data.tables import EdmType, EntityProperty

from devtools.azurite import Azurite
from ingest_core.api import handlers as api
from ingest_core.api.handlers import Handler, Request, respond
from ingest_core.app import assemble
from ingest_core.errors import StorageUnavailable
from ingest_core.models import Priority
from ingest_core.settings import read_settings
from ingest_core.storage.azure import AzureStorage
from ingest_core.storage.memory import Account, MemoryStorage
from tests.support.dispatching import Api, in_virtual_time
from tests.support.virtual_time import HostClock, true_time

GARBLED: list[tuple[str, Any]] = [
    ("id_count", "7"), ("id_count", 200_000), ("created_at", "9999-12-31T23:59:59-23:59"), ("in_flight", "[" * 999),
    ("in_flight", '[{"index": 0}]'), ("failed", b"\xff"), ("started_batches", 99), ("batch_size", 0),
    ("generation", -1), ("priority", "queue"), ("ids_00", b"\x01"), ("ids_00", None), ("digest", 7.5), ("format", 3),
    ("format", None), ("retries", -1),
    ("cancelled_batches", "[0]"), ("error_count", 8), ("ended_at", "2026-13-01"), ("label", True), ("retries", 2**40),
    ("in_flight", None), ("started_batches", 3), ("ended_at", "2026-01-01T00:00:00+00:00"), ("cancel_reason", "x"),
    ("id_count", 6), ("format", 1),
]  # fmt: skip
CALLS_ALLOWED = 4000


class Process:
    """One process of the service, which counts its storage calls."""

    def __init__(self, account: Account) -> None:
        self.calls = 0
        environ = {"AzureWebJobsStorage": "UseDevelopmentStorage=true"}
        storage = MemoryStorage(account, before=self._before)
        self.parts = assemble(read_settings(environ), storage=storage, source=Api(), clock=HostClock(base=1000.0))

    async def _before(self, call: str) -> None:
        self.calls += 1
        assert self.calls < CALLS_ALLOWED, f"a loop without a bound: {call}"
        await asyncio.sleep(0.001)

    async def ask(self, handler: Handler, method: str = "GET", body: object = None, key: str = "", **path: str) -> Any:
        """The status of an answer, and its JSON."""
        data = b"" if body is None else json.dumps(body).encode()
        headers = {"idempotency-key": key} if key else {}
        request = Request(method=method, url="http://localhost/", headers=headers, path=path, body=data)
        answer = await respond(self.parts.context, handler, request)
        return answer.status, json.loads(answer.body)

    async def run(self, seconds: float) -> None:
        """Tick every five seconds, then do the upkeep."""
        until = true_time() + seconds
        while true_time() < until:
            with suppress(StorageUnavailable):
                await self.parts.dispatcher.tick()
            await asyncio.sleep(5)
        await self.parts.upkeep.run()


@in_virtual_time
async def test_others_go_on_among_rows_that_cannot_be_read() -> None:
    """Callers learn it, and the poison queue has each message once, however often the upkeep runs."""
    account = Account(now=HostClock().now)
    process = Process(account)
    rows, lists, healthy = account.table("ingestions"), [], []
    for number, (name, value) in enumerate(GARBLED):
        body = {"ids": [1, 2, 3, 4, 5, 6, 7], "priority": list(Priority)[number % 3]}
        _, posted = await process.ask(api.ingest, "POST", body, key=f"k{number}")
        lists.append((posted["ingestion_id"], body))
        entity: Any = rows[(posted["ingestion_id"],) * 2].entity
        entity[name] = value
        if value is None:
            del entity[name]
    for lane in Priority:
        _, posted = await process.ask(api.ingest, "POST", {"ids": [8, 9, 10, 11], "priority": lane})
        healthy.append(posted["ingestion_id"])

    process = Process(account)  # it remembers no row
    for _ in range(3):
        await process.run(60)
    for one in healthy:
        assert (await process.ask(api.status, ingestion_id=one))[1]["status"] == "completed"
    poison = [text for lane in Priority for text in account.texts(f"ingest-{lane.lower()}-poison")]
    assert Counter(json.loads(text)["ingestion_id"] for text in poison) == Counter(one for one, _ in lists)
    for number, (one, body) in enumerate(lists):
        status, problem = await process.ask(api.status, ingestion_id=one)
        assert (status, problem["type"]) == (409, "/problems/unreadable-row"), GARBLED[number]
        assert (await process.ask(api.ingest, "POST", body, key=f"k{number}"))[0] == 409, GARBLED[number]
    for handler in (api.ingestions, api.lanes, api.health):
        assert (await process.ask(handler))[0] == 200


@pytest.mark.parametrize("claimed", [EdmType.DATETIME, EdmType.GUID])
async def test_a_value_that_is_not_of_its_type_comes_as_its_text(storage_emulator: Azurite, claimed: EdmType) -> None:
    """Azurite stores it, and the SDK fails on the whole answer: one row would stop every tick, and hide all others."""
    good = {"number": 7, "share": 2.0, "data": b"\x00\xff", "is_it": True, "text": "é"}
    partition = {"PartitionKey": str(uuid4())}
    storage = AzureStorage(storage_emulator.connection_string)
    try:
        for name in "abcde":
            wrong: Any = {"value": EntityProperty("x", claimed) if name in "bd" else "x"}
            await storage.backlog.insert({**partition, "RowKey": name, **good, **wrong})
        for page_size in (1, 2, 100):
            found = [stored.entity async for stored in storage.backlog.query(partition, page_size=page_size)]
            assert found == [{**partition, "RowKey": name, **good, "value": "x"} for name in "abcde"]
        one = await storage.backlog.get(partition["PartitionKey"], "b")
        assert one.entity == found[1]
        assert await storage.backlog.merge(one.entity, etag=one.etag)
    finally:
        await storage.close()
