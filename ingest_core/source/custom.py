"""A source of the user's own: a class that `INGEST_SOURCE=package.module:Name` names.

The class has `async def fetch(item_id)`, which returns the item as a JSON value, or `async def fetch_batch(ids)`, which
returns a mapping of ID to JSON value for an API that takes several IDs in one call. It raises the errors of
`ingest_core.errors`: `ItemRejected`, `AttemptFailed`, `SourceUnavailable`. Any other error of the class costs an
attempt and nothing more.
"""

import importlib
import inspect
import json
import logging
import math
import traceback
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from ingest_core.errors import AttemptFailed, InvalidSettings, ItemRejected, SourceError, SourceUnavailable
from ingest_core.ports import Answer
from ingest_core.source.answer import LONGEST_WAIT_SECONDS, compact_json
from ingest_core.source.calls import call_all, fetch_each

log = logging.getLogger(__name__)

_MESSAGE_CHARACTERS = 200


class CustomSource:
    """A `Source` that asks an object, which `make` creates on the running loop at the first fetch.

    `fetch_batch` of that object is used if it has one: it gets each ID once, and an error that it raises counts for
    every ID of the call. An error for one ID is a value of the mapping. `max_answer_bytes` limits one ID's JSON.
    """

    def __init__(self, *, make: Callable[[], object], max_answer_bytes: int) -> None:
        self._make = make
        self._max_answer_bytes = max_answer_bytes
        self._instance: object | None = None

    async def fetch_batch(self, ids: Sequence[int], *, timeout_seconds: float) -> Sequence[Answer]:
        try:
            if self._instance is None:
                self._instance = self._make()
        except Exception as error:  # noqa: BLE001 # whatever a class raises costs an attempt, and its trace is logged
            message = f"the source could not be constructed ({type(error).__name__}); see the log"
            failed = AttemptFailed(message, log_text=f"source.not_constructed {traceback.format_exc()}")
            return [failed] * len(ids)
        if not hasattr(self._instance, "fetch_batch"):
            return await fetch_each(partial(self._fetch_one, self._instance), ids, timeout_seconds=timeout_seconds)
        call = partial(self._fetch_all, self._instance, ids)
        [answers] = await call_all([call], timeout_seconds=timeout_seconds)
        return [answers] * len(ids) if isinstance(answers, SourceError) else answers

    async def close(self) -> None:
        """Close the object if it has a `close`; a later fetch makes a new one."""
        instance, self._instance = self._instance, None
        close = getattr(instance, "close", None)
        if close is None:
            return
        try:
            closing = close()
            if inspect.isawaitable(closing):
                await closing
        except Exception:
            log.exception("source.close_failed")

    async def _fetch_one(self, instance: object, item_id: int) -> str:
        fetch = getattr(instance, "fetch")  # noqa: B009 # mypy knows nothing of the class
        try:
            return self._text(await fetch(item_id))
        except SourceError as error:
            raise _plain(error) from None

    async def _fetch_all(self, instance: object, ids: Sequence[int]) -> Sequence[Answer]:
        fetch_batch = getattr(instance, "fetch_batch")  # noqa: B009 # as above
        try:
            items = await fetch_batch(list(dict.fromkeys(ids)))
        except SourceError as error:
            raise _plain(error) from None
        if not isinstance(items, Mapping):
            raise AttemptFailed(f"the source's fetch_batch returned no mapping but {type(items).__name__}")
        return [self._answer(items, item_id) for item_id in ids]

    def _answer(self, items: Mapping[object, object], item_id: int) -> Answer:
        if item_id not in items:
            return AttemptFailed("the source's fetch_batch returned nothing for this ID (keys must be integers)")
        try:
            return self._text(items[item_id])
        except SourceError as error:
            return _plain(error)

    def _text(self, value: object) -> str:
        """Write a JSON value as compact ASCII. Raises `SourceError`, also if the value itself is a `SourceError`."""
        if isinstance(value, SourceError):
            raise value
        try:
            text = json.dumps(value, allow_nan=False)
        except RecursionError:
            raise AttemptFailed("the source's answer is nested too deeply") from None
        except TypeError as error:  # its text names types, never values
            raise AttemptFailed(f"the source's answer is not a JSON value: {error}") from None
        except ValueError:
            raise AttemptFailed("the source's answer has NaN, a huge number, or itself inside") from None
        return compact_json(text.encode(), max_bytes=self._max_answer_bytes)


def load_class(name: str) -> Callable[[], object]:
    """Import the class `package.module:Name`. Raises `InvalidSettings` if it cannot be a source."""
    module_name, _, class_name = name.partition(":")
    source_class = getattr(_import(module_name), class_name, None)
    if not isinstance(source_class, type):
        raise _wrong(f"{module_name} has no class {class_name}")
    method_name = "fetch_batch" if hasattr(source_class, "fetch_batch") else "fetch"
    method = getattr(source_class, method_name, None)
    if method is None:
        raise _wrong(f"{name} has neither `async def fetch(self, item_id)` nor `async def fetch_batch(self, ids)`")
    if not callable(method) or not inspect.iscoroutinefunction(inspect.unwrap(method)):
        raise _wrong(f"{method_name} of {name} must be an `async def`")
    if not _takes(source_class, 0) or inspect.isabstract(source_class):
        raise _wrong(f"{name} must be a class that can be constructed without arguments")
    has_no_self = isinstance(inspect.getattr_static(source_class, method_name), staticmethod | classmethod)
    arguments = 1 if has_no_self else 2
    if not _takes(method, arguments):
        raise _wrong(f"{method_name} of {name} must take one argument after `self`")
    return source_class


def _import(name: str) -> object:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if f"{name}.".startswith(f"{error.name}."):
            raise _wrong(f"there is no module {error.name}") from None
        log.exception("source.import_failed")
        raise _wrong(f"{name} imports {error.name}, which is not installed") from None
    except (Exception, SystemExit) as error:
        log.exception("source.import_failed")
        raise _wrong(f"{name} cannot be imported ({type(error).__name__}); the log has the trace") from None


def _takes(function: Callable[..., object], count: int) -> bool:
    """Whether a function can be called with so many arguments. True if it has no signature."""
    try:
        signature = inspect.signature(function)
    except ValueError:
        return True
    try:
        signature.bind(*range(count))
    except TypeError:
        return False
    return True


def _wrong(problem: str) -> InvalidSettings:
    return InvalidSettings([f"INGEST_SOURCE: {problem}"])


def _plain(error: SourceError) -> SourceError:
    """Turn what the class raised into one of the three errors, with one printable line and a valid wait."""
    printable = "".join(character if character.isprintable() else " " for character in str(error))
    message = " ".join(printable.split())[:_MESSAGE_CHARACTERS] or type(error).__name__
    match error:
        case SourceUnavailable():
            return SourceUnavailable(message, retry_after_seconds=_wait(getattr(error, "retry_after_seconds", None)))
        case ItemRejected():
            return ItemRejected(message)
        case _:
            return AttemptFailed(message)


def _wait(seconds: object) -> float | None:
    if not isinstance(seconds, int | float) or math.isnan(seconds):
        return None
    return float(min(max(0.0, seconds), LONGEST_WAIT_SECONDS))
