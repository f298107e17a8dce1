"""Surrounds each call to Azure Storage: creates missing tables and queues, limits its time, translates its errors."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

import aiohttp
from azure.core.exceptions import AzureError, HttpResponseError

from ingest_core.errors import AlreadyExists, Changed, NotFound, StorageDenied, StorageError, StorageUnavailable
from ingest_core.ports import CALL_SECONDS

_NOT_FOUND = {404: ("ResourceNotFound", "EntityNotFound", "MessageNotFound"), 400: ("PopReceiptMismatch",)}
"""Only these codes mean "no such row or message". Any other 404 may come from a proxy."""

_NO_SUCH_TABLE = ("TableNotFound", "QueueNotFound")

DENIAL_SECONDS = 900.0
"""`denied_calls` names a denied call for this long. Upkeep makes most calls again within this time."""

_ADVICE = "Check the key or the SAS in AzureWebJobsStorage, or the roles of the identity."


class Calls:
    """Surrounds storage calls. `creations` create the tables and queues, each under its name in messages."""

    def __init__(self, creations: Mapping[str, Callable[[], Awaitable[object]]], *, created: bool) -> None:
        self._creations = creations
        self._created = created
        self._creating = asyncio.Lock()
        self._denied: dict[str, float] = {}

    def denied_calls(self) -> list[str]:
        """The actions that storage has denied lately and that have not succeeded since."""
        now = asyncio.get_running_loop().time()
        return [action for action, at in self._denied.items() if now - at < DENIAL_SECONDS]

    @asynccontextmanager
    async def call(self, action: str, seconds: float = CALL_SECONDS) -> AsyncIterator[None]:
        """Surround one call. `action` says in messages what it does, for example `read the table dispatch`.

        Raises `StorageError` and nothing else, for whatever the client raises.
        """
        try:
            async with asyncio.timeout(seconds):
                if not self._created:
                    await self._create()
                yield
            self._denied.pop(action, None)
        except StorageError:
            raise
        except Exception as error:
            if isinstance(error, HttpResponseError) and _has_code(error, _NO_SUCH_TABLE):
                self._created = False
            translated = _translated(error, action, seconds)
            if isinstance(translated, StorageDenied):
                self._denied[action] = asyncio.get_running_loop().time()
            raise translated from error

    async def _create(self) -> None:
        """Create what does not exist. Raises `StorageUnavailable` whatever goes wrong: no row was asked for yet."""
        async with self._creating:
            if self._created:
                return
            calls = [create() for create in self._creations.values()]
            outcomes = await asyncio.gather(*calls, return_exceptions=True)
            for name, outcome in zip(self._creations, outcomes, strict=True):
                if isinstance(outcome, StorageError):
                    raise outcome
                if isinstance(outcome, Exception) and not _says_that_it_exists(outcome):
                    translated = _translated(outcome, f"create the {name}", CALL_SECONDS)
                    is_denied = isinstance(translated, StorageDenied)
                    raise (StorageDenied if is_denied else StorageUnavailable)(str(translated)) from outcome
            self._created = True


def _translated(error: Exception, action: str, seconds: float) -> StorageError:
    match error:
        case HttpResponseError():
            return _error_for_answer(error, action)
        case TimeoutError():
            return StorageUnavailable(f"cannot {action}: storage did not answer within {seconds:g} s")
        case AzureError() | aiohttp.ClientError() | OSError():
            return StorageUnavailable(f"cannot {action}: {_why_unreachable(error)}")
        case _:  # for example, the client could not read the page of a proxy
            return StorageUnavailable(f"cannot {action}: storage's answer cannot be read ({type(error).__name__})")


def _why_unreachable(error: Exception) -> str:
    """Say why there is no answer. A proxy's address may contain a password, so it is not named."""
    match getattr(error, "inner_exception", None):
        case aiohttp.ClientHttpProxyError() as answer:
            return f"the proxy that the environment names answered {answer.status}; see HTTPS_PROXY and NO_PROXY"
        case aiohttp.ClientProxyConnectionError():
            return "the proxy that the environment names cannot be reached; see HTTPS_PROXY and NO_PROXY"
        case _:
            return f"storage cannot be reached: {_one_line(error)}"


def _error_for_answer(error: HttpResponseError, action: str) -> StorageError:
    """The error that storage's answer stands for."""
    code = _code_of(error)
    message = f"cannot {action}: storage answered {error.status_code}{code and ' '}{code}: {_one_line(error)}"
    if _has_code(error, _NO_SUCH_TABLE):
        return StorageUnavailable(f"cannot {action}: it is missing; the next call creates it")
    match error.status_code:
        case 401 | 403:
            return StorageDenied(f"{message} {_ADVICE}")
        case 400 | 404 as status if _has_code(error, _NOT_FOUND[status]):
            return NotFound(message)
        case 409 if _has_code(error, ("EntityAlreadyExists",)):
            return AlreadyExists(message)
        case 412:
            return Changed(message)
        case _:
            return StorageUnavailable(message)


def _has_code(error: HttpResponseError, codes: tuple[str, ...]) -> bool:
    """Whether the answer has one of these error codes. Its place depends on the kind of call."""
    text = f"{getattr(error, 'error_code', '')} {error}"
    return any(code in text for code in codes)


def _code_of(error: HttpResponseError) -> str:
    """The answer's error code, or nothing where the client does not know it."""
    code = getattr(error, "error_code", None)
    return str(getattr(code, "value", code) or "")


def _says_that_it_exists(error: Exception) -> bool:
    """Whether the table or queue exists. A 409 alone can also mean that it is being deleted."""
    if not isinstance(error, HttpResponseError):
        return False
    return error.status_code == 204 or (error.status_code == 409 and _has_code(error, ("AlreadyExists",)))


def _one_line(error: Exception) -> str:
    lines = str(error).splitlines() or [type(error).__name__]
    return lines[0][:200]
