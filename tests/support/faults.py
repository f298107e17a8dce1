"""The storage calls of one client, counted: over storage in memory by its hooks, over Azure's by its transport."""

from typing import Self

from azure.core.pipeline.transport import AsyncHttpTransport
from azure.core.rest import AsyncHttpResponse, HttpRequest

from ingest_core.storage.transport import connect


class Faults:
    """One client's storage calls, in order."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def transport(self) -> "CountingTransport":
        """What `AzureStorage` takes as `transport`."""
        return CountingTransport(self)

    async def before(self, name: str) -> None:
        """The hook before a call to storage in memory."""
        self.calls.append(name)

    async def after(self, name: str) -> None:
        """The hook after it."""


class CountingTransport(AsyncHttpTransport[HttpRequest, AsyncHttpResponse]):
    """The service's transport, which notes every request."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._real = connect()

    async def send(self, request: HttpRequest, **config: object) -> AsyncHttpResponse:
        self._faults.calls.append(f"{request.method} {request.url}")
        response: AsyncHttpResponse = await self._real.send(request, **config)
        return response

    async def open(self) -> None:
        await self._real.open()

    async def close(self) -> None:
        await self._real.close()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
