"""The HTTP transport below the storage clients. It sends each request once, directly or through a proxy."""

import re
from collections.abc import Callable, Mapping
from typing import Any

import aiohttp
from azure.core.pipeline.transport import AioHttpTransport, AsyncHttpTransport

from ingest_core.proxies import proxy_for

IDLE_CONNECTION_SECONDS = 3.0
"""Azurite closes a connection after 5 s without a request. A request that is sent just then would fail."""

Connect = Callable[[], AsyncHttpTransport]  # type: ignore[type-arg] # the request and response types are the SDK's own

_LOCALHOST = re.compile(r"^(https?://localhost)(?=[:/]|$)", re.IGNORECASE)
_LOCALHOST_IN_FULL = re.compile(r"^(https?://localhost)\.(?=[:/]|$)", re.IGNORECASE)


def named_in_full(url: str) -> str:
    """Write the host `localhost` as `localhost.`, for the table client.

    The client takes `localhost` with any port but 10002 for Cosmos DB. It would then send requests that Azurite does
    not know, and ask for tokens of another service. The transport restores the name.
    """
    return _LOCALHOST.sub(r"\1.", url)


def connect(environ: Mapping[str, str] = {}) -> AsyncHttpTransport:  # type: ignore[type-arg] # as above
    """Make a transport for one client; `environ` may name proxies."""
    transport: AsyncHttpTransport = _Transport(environ)  # type: ignore[type-arg] # as above
    return transport


class _Transport(AioHttpTransport):  # type: ignore[misc] # the SDK resolves the class when it is asked for
    """A transport that opens when first used, and closes connections before the other side does."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        super().__init__()
        self._environ = environ

    async def open(self) -> None:
        if self.session is None:  # type: ignore[has-type] # as above
            self.session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(keepalive_timeout=IDLE_CONNECTION_SECONDS),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
                middlewares=(_send_once,),
            )
        await super().open()

    async def send(self, request: Any, **config: Any) -> Any:  # noqa: ANN401 # as above
        request.url = _LOCALHOST_IN_FULL.sub(r"\1", request.url)
        if self._environ and (proxy := proxy_for(request.url, self._environ)):
            config["proxy"] = proxy.url
        return await super().send(request, **config)


async def _send_once(request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Keep aiohttp from sending a GET again when its connection breaks, as it does after these two errors.

    A receive that is sent twice would also take the next message. The SDK has retries of its own.
    """
    try:
        return await send(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise aiohttp.ClientConnectionError(str(error) or "the connection broke") from error
