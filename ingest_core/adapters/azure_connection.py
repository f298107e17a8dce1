"""How the storage clients reach their account: the connection string, and the transport below their retries."""

from base64 import b64decode
from collections.abc import Callable
from urllib.request import getproxies

import aiohttp
from azure.core.pipeline.transport import AioHttpTransport, AsyncHttpTransport

IDLE_CONNECTION_SECONDS = 3.0
"""Azurite closes a connection after 5 s without a request; one that is reused just then would fail."""

DEVELOPMENT_STORAGE = (
    "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;"
    "AccountKey=Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==;"
    "QueueEndpoint=http://127.0.0.1:10001/devstoreaccount1;"
    "TableEndpoint=http://127.0.0.1:10002/devstoreaccount1;"
)
"""What `UseDevelopmentStorage=true` stands for: the emulator's published account
(https://learn.microsoft.com/azure/storage/common/storage-connect-azurite)."""

Connect = Callable[[], AsyncHttpTransport]  # type: ignore[type-arg] # the request and response types are the SDK's own


class _Transport(AioHttpTransport):  # type: ignore[misc] # the SDK resolves the class when it is asked for
    """A transport that opens when first used, and closes connections before the other side does."""

    async def open(self) -> None:
        if self.session is None:  # type: ignore[has-type] # as above
            session = self.session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(keepalive_timeout=IDLE_CONNECTION_SECONDS),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=bool(getproxies()),  # looking for one costs each call 0.5 ms
            )
            # aiohttp sends every GET twice when a connection breaks, a receive too; the SDK's own retries are enough.
            session._retry_connection = False  # noqa: SLF001 # there is no other way to say so
        await super().open()


def connect() -> AsyncHttpTransport:  # type: ignore[type-arg] # as above
    """A transport of its own for each client."""
    transport: AsyncHttpTransport = _Transport()  # type: ignore[type-arg] # as above
    return transport


def usable(connection_string: str) -> str:
    """The long form of a connection string. Raises `ValueError` for a key that is none.

    The table client may not know the short form; and both find out about a key at their first call only, and blame
    storage.
    """
    if connection_string.strip().rstrip(";").lower() == "usedevelopmentstorage=true":
        return DEVELOPMENT_STORAGE
    for part in connection_string.split(";"):
        name, _, value = part.partition("=")
        if name.strip().lower() == "accountkey":
            b64decode(value.strip(), validate=True)
    return connection_string
