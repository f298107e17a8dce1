"""The conditional write, for every row that several processes change: the gate's row and the ingestion rows.

A change is a function of the row's present value. It is written under the ETag of that value. After a conflict or a
lost answer the row is read back: either the write is recognised as our own, or the change is computed again.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from ingest_core.errors import Changed, StorageDenied, StorageError, StorageUnavailable

ATTEMPTS = 40
"""Writes of one change. Sixteen batches of one ingestion may end at once, and each conflict has one winner."""

Value = TypeVar("Value")


@dataclass(frozen=True, kw_only=True)
class Version(Generic[Value]):
    """A row's value as it was read or written, and the ETag that this version has."""

    value: Value
    etag: str


async def write_change(
    change: Callable[[Value], Value | None],
    *,
    read: Callable[[], Awaitable[Version[Value]]],
    write: Callable[[Value, str], Awaitable[str]],
    is_own: Callable[[Value, Value], Awaitable[bool]],
    known: Version[Value] | None = None,
) -> Version[Value] | None:
    """Apply a change until it is certain that it was written; None if `change` returns None for the present value.

    `known` saves the first read. `is_own(present, written)` says whether the version that was read back contains what
    this call has written. Raises `StorageUnavailable` if a write fails and the row cannot be read back, or
    after `ATTEMPTS` writes.
    """
    version = known or await read()
    failure: StorageError | None = None
    for _ in range(ATTEMPTS):
        after = change(version.value)
        if after is None:
            if version is not known:
                return None
            version = await read()  # only the present value decides
            continue
        try:
            return Version(value=after, etag=await write(after, version.etag))
        except StorageDenied:  # nothing was written, and nothing will be
            raise
        except (Changed, StorageUnavailable) as error:
            failure = error
            version = await read()
            if await is_own(version.value, after):
                return version
    if isinstance(failure, StorageUnavailable):
        raise failure
    raise StorageUnavailable(f"a row changed under each of {ATTEMPTS} writes")
