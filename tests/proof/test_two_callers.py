"""Two callers with one Idempotency-Key: one ingestion and one answer, whoever is faster, fails or dies half-way."""

import asyncio
import json
from collections.abc import Coroutine, Generator, Iterator, Sequence
from datetime import timedelta
from itertools import product
from pathlib import Path
from types import coroutine
from typing import Any
from uuid import UUID, uuid5

import pytest

from ingest_core import api
from ingest_core.adapters.memory import Account, MemoryStorage
from ingest_core.app import App
from ingest_core.contract import IngestRequest
from ingest_core.errors import Problem
from ingest_core.ingestions import Ingestions
from ingest_core.lanes import Lanes
from ingest_core.models import Priority
from ingest_core.service import KEYS, Service
from tests.support.faults import Fate, Faults, at
from tests.support.ledger import BATCH_SIZE
from tests.support.world import MemoryBackend, World, app_of, make_world, wrong

KEY = "one key"
IDS = [1, 2, 3, 4]


async def post(app: App, ids: Sequence[int] = IDS, priority: str = "HIGH") -> api.Answer:
    """`POST /ingest` with the key."""
    body = json.dumps({"ids": ids, "priority": priority}).encode()
    return await app.handle(api.ingest, api.Request(method="POST", body=body, headers={"idempotency-key": KEY}))


async def test_concurrent_callers_get_one_ingestion(world: World) -> None:
    """Fifteen requests at once through three hosts: one answer, one row, every batch once."""
    apps = [app_of(world.host(create=True)) for _ in range(3)]
    world.ledger.note("sent", request=1, ids=IDS, lane="HIGH", key=KEY, gives_up=False)
    answers = await asyncio.gather(*(post(app) for app in apps for _ in range(5)))
    assert {answer.status for answer in answers} == {202}
    [body] = {answer.body for answer in answers}
    world.ledger.note("acknowledged", request=1, ingestion_id=json.loads(body)["ingestion_id"])
    host = world.host()
    await world.drain(host)
    assert [event["id"] for event in world.ledger.events("fetched")] == IDS
    assert await wrong(world, host) == []


async def test_concurrent_callers_with_other_values_conflict(world: World) -> None:
    """Where two requests differ under one key, one is accepted and every sending of the other is a 409."""
    apps = [app_of(world.host(create=True)) for _ in range(2)]
    answers = await asyncio.gather(*(post(app, ids) for app in apps for ids in (IDS, [5, 6]) for _ in range(3)))
    accepted = {answer.body for answer in answers if answer.status == 202}
    refused = [answer for answer in answers if answer.status == 409]
    assert len(accepted) == 1
    assert len(refused) == 6
    assert all(answer.content_type == api.PROBLEM for answer in refused)
    host = world.host()
    await world.drain(host)
    fetched = [event["id"] for event in world.ledger.events("fetched")]
    assert fetched in (IDS, [5, 6])


@pytest.mark.parametrize(("ids", "priority"), [([1, 2, 3], "HIGH"), ([4, 3, 2, 1], "HIGH"), (IDS, "LOW")])
async def test_the_same_key_with_other_values_is_a_conflict(world: World, ids: list[int], priority: str) -> None:
    """Fewer IDs, another order, another priority: each is another request, also after the first has finished."""
    host = world.host(create=True)
    app = app_of(host)
    assert (await post(app)).status == 202
    assert (await post(app, ids, priority)).status == 409
    await world.drain(host)
    assert (await post(app, ids, priority)).status == 409
    assert (await post(app)).status == 202
    await world.drain(host)
    assert [event["id"] for event in world.ledger.events("fetched")] == IDS


@pytest.mark.parametrize("fate", [Fate.REFUSED, Fate.RESET_ONCE, Fate.RESET, Fate.TIMED_OUT, Fate.BUSY, Fate.BROKEN])
async def test_a_retry_after_a_503_gives_the_same_ingestion(world: World, fate: Fate) -> None:
    """Whichever call of the first request failed, and however: the second gets its 202, and the work is done once."""
    first_calls = 0
    calm = world.host(create=True)
    await calm.tick()
    for call in range(1, 4):
        host = world.host(Faults(at(call, fate)))
        answer = await post(app_of(host))
        assert answer.status in (202, 503)
        assert "Retry-After" in answer.headers
        assert answer.status == 202 or answer.content_type == api.PROBLEM
        first_calls = max(first_calls, len(host.faults.calls))
        again = await post(app_of(calm))
        assert again.status == 202
        assert json.loads(again.body)["ingestion_id"] == str(_derived())
    assert first_calls >= 2
    await world.drain(calm)
    assert [event["id"] for event in world.ledger.events("fetched")] == IDS
    assert await wrong(world, calm) == []


@coroutine
def _pause() -> Generator[None]:
    yield


class Caller:
    """A request that stops before each of its storage calls until it is told to go on."""

    def __init__(self, world: World, account: Account, ids: Sequence[int]) -> None:
        storage = MemoryStorage(account, before=self._stop)
        service = Service(
            ingestions=Ingestions(storage.ingestions),
            lanes=Lanes(storage.lanes),
            clock=world.host().clock,
            batch_size=BATCH_SIZE,
        )
        request = IngestRequest(ids=ids, priority=Priority.HIGH)
        self._work: Coroutine[Any, Any, UUID] = service.accept(request, idempotency_key=KEY)
        self.stops = 0
        self.answer: UUID | int | None = None
        self.alive = True

    async def _stop(self, _call: str) -> None:
        self.stops += 1
        await _pause()

    def go_on(self) -> None:
        """Run up to the next storage call, or to the answer."""
        if not self.alive:
            return
        try:
            self._work.send(None)
        except StopIteration as done:
            self.answer, self.alive = done.value, False
        except Problem as problem:
            self.answer, self.alive = problem.status, False

    def die(self) -> None:
        """Nothing that it has not done yet is done."""
        self.alive = False
        self._work.close()


def schedules() -> Iterator[str]:
    """Every order in which two callers can take their steps; each takes five at most."""
    yield from ("".join(turns) for turns in product("ab", repeat=10) if turns.count("a") == 5)


@pytest.mark.parametrize("dies_at", [None, 0, 1, 2, 3, 4])
@pytest.mark.parametrize("second_ids", [IDS, [5, 6]], ids=["same_values", "other_values"])
async def test_every_interleaving_of_two_callers_gives_one_ingestion(
    tmp_path: Path, dies_at: int | None, second_ids: list[int]
) -> None:
    """Caller a may die before each of its storage calls, at any point of caller b's."""
    for number, schedule in enumerate(schedules()):
        account = Account(now=lambda: world.time.began_at + timedelta(seconds=world.time.seconds))  # noqa: B023 # used within
        world = make_world(MemoryBackend(account), tmp_path / str(number))
        callers = {"a": Caller(world, account, IDS), "b": Caller(world, account, second_ids)}
        for turn in schedule:
            if turn == "a" and callers["a"].alive and callers["a"].stops == dies_at:
                callers["a"].die()
            callers[turn].go_on()
        assert not any(caller.alive for caller in callers.values()), schedule
        await _is_one_ingestion(world, account, callers, schedule)
        world.ledger.close()


async def _is_one_ingestion(world: World, account: Account, callers: dict[str, Caller], schedule: str) -> None:
    a, b = callers["a"].answer, callers["b"].answer
    rows = [key for key in account.table("ingestions") if key[0] == key[1]]
    assert len(rows) <= 1, schedule
    assert b in (_derived(), 409), schedule
    assert a in (_derived(), 409, None), schedule
    host = world.host()
    await world.drain(host)
    if await host.recover():  # only a dead caller's row may have no message
        assert a is None, schedule
        await world.drain(host)
    fetched = [event["id"] for event in world.ledger.events("fetched")]
    assert fetched in (IDS, [5, 6]), schedule
    assert (a == 409) <= (fetched == [5, 6]), schedule
    assert (b == 409) <= (fetched == IDS), schedule
    assert await wrong(world, host) == [], schedule


def _derived() -> UUID:
    """What the key always gives."""
    return uuid5(KEYS, f"key:{KEY}")
