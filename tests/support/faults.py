"""Storage that fails on order, below the SDK's own retries.

`Faults` numbers the storage calls of one host from 1; the tries of one call, which the SDK makes on its own, share its
number. A plan says what becomes of the n-th call. What is raised is what azure-core's aiohttp transport raises.
"""

import os
import random
import re
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import NoReturn, Self
from weakref import WeakKeyDictionary

from azure.core.exceptions import ServiceRequestError
from azure.core.pipeline.transport import AsyncHttpTransport
from azure.core.rest import AsyncHttpResponse, HttpRequest
from azure.core.rest._aiohttp import RestAioHttpTransportResponse

from ingest_core.adapters.azure import CALL_SECONDS
from ingest_core.adapters.azure_connection import connect
from ingest_core.errors import StorageUnavailable

DEATH = 70
"""The exit code of a process that died on order."""


class Fate(StrEnum):
    """What becomes of a call. Where it takes effect, the answer is what is lost."""

    PASS = "pass"  # noqa: S105 # not a password
    REFUSED = "refused"  # no try is sent
    RESET_ONCE = "reset_once"  # the first try takes effect, the SDK's next try is answered
    RESET = "reset"  # every try takes effect, none is answered
    TIMED_OUT = "timed_out"  # it takes effect, and the caller waits in vain
    BUSY = "busy"  # 503: it takes no effect
    BROKEN = "broken"  # 500: it takes effect
    DEATH_BEFORE = "death_before"
    DEATH_AFTER = "death_after"


Plan = Callable[[int], Fate]
PassTime = Callable[[float], None]
Saw = Callable[[str, HttpRequest, AsyncHttpResponse], None]


def calm(_number: int) -> Fate:
    """Nothing fails."""
    return Fate.PASS


def at(call: int, fate: Fate) -> Plan:
    """One call fails."""
    return lambda number: fate if number == call else Fate.PASS


def outage(call: int) -> Plan:
    """The answer to one call is lost, and nobody answers from then on."""
    return lambda number: Fate.PASS if number < call else Fate.RESET if number == call else Fate.REFUSED


def storm(seed: int, chance: float) -> Plan:
    """Calls fail at random, each in one of the ways that a process survives."""
    dice = random.Random(seed)  # noqa: S311 # repeatable, not secret
    fates = [Fate.REFUSED, Fate.RESET_ONCE, Fate.RESET, Fate.TIMED_OUT, Fate.BUSY, Fate.BROKEN]
    return lambda _: dice.choice(fates) if dice.random() < chance else Fate.PASS


def exit_now() -> NoReturn:
    """Die as by `kill -9`: nothing is closed, flushed or cleaned up."""
    os._exit(DEATH)


class Died(BaseException):
    """A host in memory has died: nothing it does from now on takes effect."""


class Faults:
    """One host's storage calls, in order, and what is to become of each."""

    def __init__(self, plan: Plan = calm, *, pass_time: PassTime = lambda _: None, call_seconds: float = 0.0) -> None:
        self.plan = plan
        self.calls: list[str] = []
        self.failed = 0
        self.saw: Saw = lambda *_: None
        self._pass_time = pass_time
        self._call_seconds = call_seconds
        self._fates: WeakKeyDictionary[HttpRequest, Fate] = WeakKeyDictionary()
        self._fate = Fate.PASS
        self._dead = False

    def heal(self) -> None:
        """From now on nothing fails."""
        self.plan = calm

    def transport(self) -> "FaultyTransport":
        """What `AzureStorage` takes as `transport`."""
        return FaultyTransport(self)

    def fate_of(self, request: HttpRequest) -> tuple[str, Fate]:
        """Number the call, unless this is another try of it."""
        name = name_of(request.method, request.url)
        if request not in self._fates:  # the SDK sends one object again and again
            self._fates[request] = self._next(name)
        elif self._fates[request] is Fate.RESET_ONCE:
            return name, Fate.PASS
        return name, self._fates[request]

    async def send(
        self, request: HttpRequest, really_send: Callable[[], Awaitable[AsyncHttpResponse]]
    ) -> AsyncHttpResponse:
        """Send a try of a call, or not, and lose the answer, or not."""
        name, fate = self.fate_of(request)
        match fate:
            case Fate.REFUSED:
                raise ServiceRequestError("connection refused, on order")
            case Fate.BUSY:
                return await _answer(request, 503)
            case Fate.DEATH_BEFORE:
                exit_now()
        response = await really_send()
        if not response.is_stream_consumed:
            await response.read()
        self.saw(name, request, response)
        self._pass_time(self._call_seconds)
        match fate:
            case Fate.RESET | Fate.RESET_ONCE:
                raise ServiceRequestError("connection reset by peer, on order")
            case Fate.TIMED_OUT:
                self._pass_time(CALL_SECONDS)
                raise TimeoutError
            case Fate.BROKEN:
                return await _answer(request, 500)
            case Fate.DEATH_AFTER:
                exit_now()
        return response

    async def before(self, name: str) -> None:
        """The hook before a call to storage in memory."""
        if self._dead:
            raise Died
        self._fate = self._next(name)
        if self._fate in (Fate.REFUSED, Fate.BUSY):
            raise StorageUnavailable("refused, on order")
        if self._fate is Fate.DEATH_BEFORE:
            self._dead = True
            raise Died

    async def after(self, _name: str) -> None:
        """The hook after a call to storage in memory."""
        self._pass_time(self._call_seconds)
        if self._fate is Fate.DEATH_AFTER:
            self._dead = True
            raise Died
        if self._fate is Fate.TIMED_OUT:
            self._pass_time(CALL_SECONDS)
        if self._fate in (Fate.RESET, Fate.TIMED_OUT, Fate.BROKEN):
            raise StorageUnavailable("answer lost, on order")

    def _next(self, name: str) -> Fate:
        self.calls.append(name)
        fate = self.plan(len(self.calls))
        self.failed += fate is not Fate.PASS
        self._pass_time(self._call_seconds)
        return fate


class FaultyTransport(AsyncHttpTransport):
    """The service's transport, with faults."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._real = connect()

    async def send(self, request: HttpRequest, **config: object) -> AsyncHttpResponse:
        return await self._faults.send(request, lambda: self._real.send(request, **config))

    async def open(self) -> None:
        await self._real.open()

    async def close(self) -> None:
        await self._real.close()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


_NAMES = (
    (r"POST .*/Tables", "create_table"),
    (r"POST .*/\$batch", "transaction"),
    (r"POST .*/([\w-]+)/messages\?.*", "put"),
    (r"GET .*/([\w-]+)/messages\?.*peekonly=true.*", "peek"),
    (r"GET .*/([\w-]+)/messages\?.*", "receive"),
    (r"DELETE .*/([\w-]+)/messages/.*", "delete"),
    (r"PUT .*/([\w-]+)/messages/.*", "release"),
    (r"PUT .*/([\w-]+)", "create_queue"),
    (r"GET .*/([\w-]+)\?comp=metadata.*", "count"),
    (r"GET .*/(\w+)\(\).*", "query"),
    (r"GET .*/(\w+)\(PartitionKey.*", "get"),
    (r"PATCH .*/(\w+)\(PartitionKey.*", "merge"),
    (r"POST .*/(\w+)", "insert"),
)


def name_of(method: str, url: str) -> str:
    """What a storage request does, and to which table or queue: `peek ingest-high`."""
    for expression, name in _NAMES:
        if match := re.fullmatch(expression, f"{method} {url}"):
            return " ".join((name, *match.groups()))
    raise ValueError(f"a storage call without a name: {method} {url}")


class _Answered:
    """What an aiohttp response is to azure-core."""

    def __init__(self, status: int) -> None:
        self.status = status
        self.reason = "on order"
        self.headers: dict[str, str] = {}

    async def read(self) -> bytes:
        return b""

    def close(self) -> None:
        pass


async def _answer(request: HttpRequest, status: int) -> AsyncHttpResponse:
    response = RestAioHttpTransportResponse(request=request, internal_response=_Answered(status), block_size=4096)
    await response.read()
    return response
