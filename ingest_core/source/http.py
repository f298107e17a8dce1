"""The external API over HTTP: one fetch is one request, sent once, whatever comes back.

A retry or a redirect would be a call outside the rate limit, so neither happens here. Path, query and headers may
contain keys, so messages name the origin at most. Causes are dropped (`from None`), because aiohttp's errors name the
URL.
"""

import os
from collections.abc import Mapping, Sequence
from socket import gaierror
from ssl import SSLError
from urllib.parse import urlsplit

from aiohttp import (
    ClientConnectorError,
    ClientHandlerType,
    ClientHttpProxyError,
    ClientOSError,
    ClientPayloadError,
    ClientProxyConnectionError,
    ClientRequest,
    ClientResponse,
    ClientResponseError,
    ClientSession,
    ClientTimeout,
    ConnectionTimeoutError,
    DummyCookieJar,
    ServerDisconnectedError,
    TCPConnector,
)
from multidict import CIMultiDict
from yarl import URL

from ingest_core.errors import AttemptFailed, SourceError, SourceUnavailable
from ingest_core.ports import Answer, Clock
from ingest_core.proxies import Proxy
from ingest_core.source.answer import compact_json, error_for_status, too_large
from ingest_core.source.calls import fetch_each
from ingest_core.source.encoding import OVERHEAD_BYTES, compressions, decompress
from ingest_core.source.request import PLACEHOLDER

_HEADER_BYTES = 64 * 1024
"""The longest header line. Real Content-Security-Policies are longer than aiohttp's limit of 8 190 bytes."""

_HEADER_LINES = 1000
"""The most header lines. Some gateways add a line for each hop or rule, and aiohttp's limit is 128."""

_HEADERS = {
    "User-Agent": "ingestion-service",
    "Accept": "application/json",
    "Accept-Encoding": "identity",
}


class HttpSource:
    """A `Source` that GETs `url_template` with the ID in place of `{id}`.

    `url_template` and `headers` have passed `check_url_template` and `parse_headers`. `max_answer_bytes` limits the
    body that is read and the JSON of an answer. `connect_timeout_seconds` covers the name look-up, the proxy, the
    connection and TLS. Keep it well below the time limit of a batch, so that a host that swallows packets counts as
    unreachable and not as slow.
    """

    def __init__(
        self,
        *,
        url_template: str,
        headers: Mapping[str, str],
        max_answer_bytes: int,
        connect_timeout_seconds: float,
        clock: Clock,
        proxy: Proxy | None = None,
    ) -> None:
        self._url_template = url_template
        self._headers = CIMultiDict(_HEADERS)
        self._headers.update(headers)
        self._max_answer_bytes = max_answer_bytes
        self._connect_timeout_seconds = connect_timeout_seconds
        self._clock = clock
        self._proxy = proxy
        parts = urlsplit(url_template)
        self._origin = f"{parts.scheme}://{parts.netloc}"
        self._session: ClientSession | None = None

    async def fetch_batch(self, ids: Sequence[int], *, timeout_seconds: float) -> Sequence[Answer]:
        return await fetch_each(self._fetch, ids, timeout_seconds=timeout_seconds)

    async def close(self) -> None:
        """Close what is open; a later fetch opens a new session."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _fetch(self, item_id: int) -> str:
        # `encoded=True` escapes nothing again: the API gets what the operator wrote.
        url = URL(self._url_template.replace(PLACEHOLDER, str(item_id)), encoded=True)
        proxy = self._proxy.url if self._proxy else None
        try:
            async with self._open_session().get(url, allow_redirects=False, proxy=proxy) as response:
                body = await self._read(response)
            return compact_json(body, max_bytes=self._max_answer_bytes)
        except SourceError:
            raise
        except (ClientConnectorError, ConnectionTimeoutError, ClientHttpProxyError) as error:
            raise SourceUnavailable(self._unreachable(error)) from None
        except Exception as error:  # noqa: BLE001 - hostile bytes can raise anything, which must not end a tick
            raise AttemptFailed(_broken(error)) from None

    def _unreachable(self, error: ClientConnectorError | ConnectionTimeoutError | ClientHttpProxyError) -> str:
        """Say what cannot be reached: the API, or the proxy, which is named by its variable."""
        target = self._origin
        if self._proxy is not None:
            through = f"the proxy that {self._proxy.variable} names"
            target = through if isinstance(error, ClientProxyConnectionError) else f"{target} through {through}"
        return f"cannot connect to {target}: {_why(error)}"

    def _open_session(self) -> ClientSession:
        """Open the session on the running loop at the first fetch.

        Each request has its own connection. Batches start an interval apart, and 5 s is also when many servers
        drop an idle connection, which would then break just as the next batch is sent on it.
        """
        if self._session is None:
            self._session = ClientSession(
                connector=TCPConnector(force_close=True, limit=0),
                timeout=ClientTimeout(connect=self._connect_timeout_seconds),
                headers=self._headers,
                cookie_jar=DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,  # because `proxy_for` has chosen the proxy
                max_line_size=_HEADER_BYTES,
                max_field_size=_HEADER_BYTES,
                max_headers=_HEADER_LINES,
                middlewares=(_send_once,),
            )
        return self._session

    async def _read(self, response: ClientResponse) -> bytes:
        """Check the status, then read the body. Memory never holds more of it than the limit and one chunk."""
        error = error_for_status(response.status, response.headers, now=self._clock.now())
        if error is not None:
            raise error
        names = compressions(response.headers.getall("Content-Encoding", []))
        most = self._max_answer_bytes + len(names) * OVERHEAD_BYTES
        if (response.content_length or 0) > most:
            raise too_large(self._max_answer_bytes)
        body = bytearray()
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > most:
                raise too_large(self._max_answer_bytes)
        return decompress(bytes(body), names, max_bytes=self._max_answer_bytes)


async def _send_once(request: ClientRequest, send: ClientHandlerType) -> ClientResponse:
    """Keep aiohttp from sending a GET again when its connection breaks, as it does after these two errors."""
    try:
        return await send(request)
    except ClientConnectorError:
        raise
    except (ClientOSError, ServerDisconnectedError) as error:
        raise AttemptFailed(_broken(error)) from None


def _why(error: ClientConnectorError | ConnectionTimeoutError | ClientHttpProxyError) -> str:
    """Say why there is no connection, in the system's words: one printable line without the URL."""
    match error:
        case ConnectionTimeoutError():
            return "no connection in time"
        case ClientHttpProxyError():
            return f"the proxy answered {error.status}"
    cause = error.os_error
    text = cause.strerror
    # asyncio rewords the system's text. TLS and name look-ups have error numbers of their own, so their text is kept.
    if cause.errno and not isinstance(cause, SSLError | gaierror):
        text = os.strerror(cause.errno)
    return ascii(text or type(cause).__name__)[1:-1][:120]


def _broken(error: Exception) -> str:
    """Say how an answer broke. Only the error's kind is used, because its text may quote the answer or the URL."""
    match error:
        case ClientOSError() | ServerDisconnectedError():
            return "the API closed the connection before it answered"
        case ClientPayloadError():
            return "the API's answer broke off"
        case ClientResponseError():
            return "the API's answer is not HTTP"
        case _:
            return f"the API's answer could not be read ({type(error).__name__})"
