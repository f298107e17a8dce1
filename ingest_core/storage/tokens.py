"""Tokens of an identity, for storage clients that have no key."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from azure.core.credentials import AccessToken
from azure.core.credentials_async import AsyncTokenCredential

from ingest_core.errors import NoToken
from ingest_core.storage.identity_settings import Identity
from ingest_core.storage.transport import Connect

TOKEN_SECONDS = 3.0
"""A storage call waits for a token for this long, which leaves time to say why it failed."""

FAILURE_SECONDS = 1.0
"""A failure counts for this long for all calls that wait. They ask one after another, and each would ask anew."""


class Tokens(AsyncTokenCredential):
    """Asks for tokens as one identity: once for all calls that wait, and to the end even if they give up.

    Some tokens take longer than a storage call may, for example those of the Azure CLI. A later call then finds the
    token. Raises `NoToken` if there is none, so that an error of the identity's service does not look like one of
    storage.
    """

    def __init__(self, identity: Identity, *, transport: Connect) -> None:
        self._credential = _credential(identity, transport)
        self._advice = _advice(identity)
        self._asking: asyncio.Task[AccessToken] | None = None
        self._asked_at = 0.0
        self._failed_at = -FAILURE_SECONDS

    async def get_token(self, *scopes: str, **_: Any) -> AccessToken:  # noqa: ANN401 # the SDK's own options
        """Return a token for storage, the only scope that its clients ask for."""
        asking = self._ask(scopes)
        await asyncio.wait([asking], timeout=self._asked_at + TOKEN_SECONDS - _now())
        if not asking.done() or asking.cancelled():
            reason = f"none came within {TOKEN_SECONDS:g} s"
        elif error := asking.exception():
            reason = (str(error).splitlines() or [type(error).__name__])[0][:200].rstrip(". ")
        else:
            return asking.result()
        raise NoToken(f"no token for storage could be had: {reason}; {self._advice}")

    def _ask(self, scopes: Sequence[str]) -> "asyncio.Task[AccessToken]":
        """Return the request for a token that is open or has just failed, or else a new request."""
        asking = self._asking
        if asking is None or (asking.done() and _now() >= self._failed_at + FAILURE_SECONDS):
            asking = self._asking = asyncio.create_task(self._credential.get_token(*scopes))
            asking.add_done_callback(self._note_end)
            self._asked_at = _now()
        return asking

    def _note_end(self, asking: "asyncio.Task[AccessToken]") -> None:
        if not asking.cancelled() and asking.exception():
            self._failed_at = _now()

    async def close(self) -> None:
        """Stop asking, and close connections."""
        if self._asking is not None:
            self._asking.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await self._asking
        await self._credential.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        await self.close()


def _credential(identity: Identity, transport: Connect) -> AsyncTokenCredential:
    from azure.identity.aio import (  # noqa: PLC0415 # 0.3 s that only an identity costs
        DefaultAzureCredential,
        ManagedIdentityCredential,
    )

    options: dict[str, Any] = {"transport": transport(), "retry_total": 1}  # whatever needs storage tries again anyway
    if identity.resource_id:  # which only a managed identity has
        # The asynchronous credential sends these names as they are. App Service knows the first, virtual machines the
        # second; where neither is known, the token would be another identity's.
        names = ("mi_res_id", "msi_res_id")
        return ManagedIdentityCredential(identity_config=dict.fromkeys(names, identity.resource_id), **options)
    if identity.managed:
        return ManagedIdentityCredential(client_id=identity.client_id or None, **options)
    if identity.client_id:
        return DefaultAzureCredential(managed_identity_client_id=identity.client_id, **options)
    return DefaultAzureCredential(**options)


def _advice(identity: Identity) -> str:
    if identity.client_id or identity.resource_id:
        name = "clientId" if identity.client_id else "managedIdentityResourceId"
        return f"check that AzureWebJobsStorage__{name} names an identity that is assigned to this app"
    if identity.managed:
        return "check that this app has a system-assigned identity, or name another by AzureWebJobsStorage__clientId"
    return "check that this app has an identity or, on your own machine, that you are logged in to Azure"


def _now() -> float:
    return asyncio.get_running_loop().time()
