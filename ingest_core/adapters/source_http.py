"""The external API over HTTP: one fetch is one request, sent once, whatever comes back.

A retry or a redirect would be a call outside the rate limit, so neither happens here. Path, query and headers
may hold keys: messages name the origin at most, and causes are dropped (`from None`), as aiohttp's name the URL.
"""

import os
from collections.abc import Mapping
from socket import gaierror
from ssl import SSLError
from urllib.parse import urlsplit

from aiohttp import (
    ClientConnectorError,
    ClientHandlerType,
    ClientOSError,
    ClientPayloadError,
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

from ingest_core.adapters.source_answer import compact_json, refusal, too_large
from ingest_core.errors import AttemptFailed, SourceError, SourceUnavailable
from ingest_core.ports import Clock
from ingest_core.source_request import PLACEHOLDER

_HEADERS = {
    "User-Agent": "ingestion-service",
    "Accept": "application/json",
    "Accept-Encoding": "identity",  # and nothing is ever decompressed: there is no bomb
}


class HttpSource:
    """A `Source` that GETs `url_template` with the ID in place of `{id}`.

    `url_template` and `headers` have passed `check_url_template` and `parse_headers`. `max_answer_bytes` limits
    what is read and what `fetch` returns. `connect_timeout_seconds` covers name, connection and TLS; keep it well
    below the caller's own limit, so that a host that swallows packets is unreachable, not slow to answer.
    """

    def __init__(
        self,
        *,
        url_template: str,
        headers: Mapping[str, str],
        max_answer_bytes: int,
        connect_timeout_seconds: float,
        clock: Clock,
    ) -> None:
        self._url_template = url_template
        self._headers = CIMultiDict(_HEADERS)
        self._headers.update(headers)
        self._max_answer_bytes = max_answer_bytes
        self._connect_timeout_seconds = connect_timeout_seconds
        self._clock = clock
        parts = urlsplit(url_template)
        self._origin = f"{parts.scheme}://{parts.netloc}"
        self._session: ClientSession | None = None

    async def fetch(self, item_id: int) -> str:
        # Verbatim: what the operator wrote is what the API gets.
        url = URL(self._url_template.replace(PLACEHOLDER, str(item_id)), encoded=True)
        try:
            async with self._open_session().get(url, allow_redirects=False) as response:
                body = await self._read(response)
            return compact_json(body, max_bytes=self._max_answer_bytes)
        except SourceError:
            raise
        except (ClientConnectorError, ConnectionTimeoutError) as error:
            raise SourceUnavailable(f"cannot connect to {self._origin}: {_why(error)}") from None
        except Exception as error:  # noqa: BLE001 - whatever a client makes of hostile bytes must not end a tick
            raise AttemptFailed(_broken(error)) from None

    async def close(self) -> None:
        """Let go of connections; a later fetch opens new ones."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _open_session(self) -> ClientSession:
        """Open the session on the running loop at the first fetch.

        Each request has its own connection. Batches start an interval apart, and 5 s is also when many servers
        drop an idle connection: a kept one would break just as the next batch is sent on it.
        """
        if self._session is None:
            self._session = ClientSession(
                connector=TCPConnector(force_close=True, limit=0),
                timeout=ClientTimeout(connect=self._connect_timeout_seconds),
                headers=self._headers,
                cookie_jar=DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
                middlewares=(_send_once,),
            )
        return self._session

    async def _read(self, response: ClientResponse) -> bytes:
        """Judge the status, then read the body, never holding more than the limit and one chunk."""
        error = refusal(response.status, response.headers, now=self._clock.now())
        if error is not None:
            raise error
        if response.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise AttemptFailed("the API's answer is compressed, which the request did not allow")
        if (response.content_length or 0) > self._max_answer_bytes:
            raise too_large(self._max_answer_bytes)
        body = bytearray()
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > self._max_answer_bytes:
                raise too_large(self._max_answer_bytes)
        return bytes(body)


async def _send_once(request: ClientRequest, send: ClientHandlerType) -> ClientResponse:
    """Keep aiohttp from sending a GET again when its connection breaks: it would on these two errors."""
    try:
        return await send(request)
    except ClientConnectorError:
        raise
    except (ClientOSError, ServerDisconnectedError) as error:
        raise AttemptFailed(_broken(error)) from None


def _why(error: ClientConnectorError | ConnectionTimeoutError) -> str:
    """Say why there is no connection, in the system's words: one printable line without the URL."""
    if isinstance(error, ConnectionTimeoutError):
        return "no connection in time"
    cause = error.os_error
    text = cause.strerror
    if cause.errno and not isinstance(cause, SSLError | gaierror):  # whose numbers are their own; and asyncio rewords
        text = os.strerror(cause.errno)
    return ascii(text or type(cause).__name__)[1:-1][:120]


def _broken(error: Exception) -> str:
    """Say how an answer broke, by the error's kind alone: its text may quote the answer or the URL."""
    match error:
        case ClientOSError() | ServerDisconnectedError():
            return "the API closed the connection before it answered"
        case ClientPayloadError():
            return "the API's answer broke off"
        case ClientResponseError():
            return "the API's answer is not HTTP"
        case _:
            return f"the API's answer could not be read ({type(error).__name__})"
