"""Sources of one's own for the tests: two that work like the real ones, and several that do not."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import wraps

from ingest_core.errors import AttemptFailed, ItemRejected, SourceError, SourceUnavailable

REJECTED, FAILED, THROTTLED, SILENT = 404, 500, 429, 999
"""IDs to which an API answers with these statuses, or never."""


def error_of(item_id: int) -> SourceError | None:
    """The error of an ID that has one."""
    errors = {
        REJECTED: ItemRejected("there is no such item"),
        FAILED: AttemptFailed("the API broke"),
        THROTTLED: SourceUnavailable("the API asks to wait", retry_after_seconds=7),
    }
    return errors.get(item_id)


class PerId:
    """An API that takes one ID per call."""

    def __init__(self) -> None:
        asyncio.get_running_loop()  # raises where none is running
        self.closed = False

    async def fetch(self, item_id: int) -> object:
        if self.closed:
            raise RuntimeError
        if item_id == SILENT:
            await asyncio.Event().wait()
        if error := error_of(item_id):
            raise error
        return {"id": item_id, "name": f"Ä {item_id}"}

    async def close(self) -> None:
        self.closed = True


class PerBatch:
    """An API that takes several IDs in one call."""

    async def fetch_batch(self, ids: Sequence[int]) -> dict[int, object]:
        assert len(set(ids)) == len(ids)
        if SILENT in ids:
            await asyncio.Event().wait()
        return {item_id: error_of(item_id) or {"id": item_id, "name": f"Ä {item_id}"} for item_id in ids}


def same(function: object) -> object:
    """A decorator that hides the `async`."""

    @wraps(function)  # type: ignore[arg-type]
    def call(*args: object) -> object:
        return function(*args)  # type: ignore[operator]

    return call


class Decorated:
    @same
    async def fetch(self, item_id: int) -> object:
        return item_id


class NotAsync:
    def fetch(self, item_id: int) -> object:
        return item_id


class Neither:
    pass


class NeedsArguments:
    def __init__(self, url: str) -> None:
        pass

    async def fetch(self, item_id: int) -> object:
        return item_id


class TakesNothing:
    async def fetch(self) -> object:
        return 1


class Abstract(ABC):
    @abstractmethod
    async def fetch(self, item_id: int) -> object: ...


class Constant:
    fetch = 7


class CannotStart:
    def __init__(self) -> None:
        raise KeyError("secret")

    async def fetch(self, item_id: int) -> object:
        return item_id


an_instance = PerBatch()
