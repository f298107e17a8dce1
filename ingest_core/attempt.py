"""One attempt at a batch: its IDs are fetched at once, and what comes back is one outcome.

The API's own limit comes before the batch's luck: an attempt in which any ID was told to wait is not held against it.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from ingest_core.errors import AttemptFailed, ItemRejected, SourceUnavailable
from ingest_core.models import Item
from ingest_core.ports import Source
from ingest_core.rows import RESULT_BYTES


@dataclass(frozen=True)
class Fetched:
    """Every ID has its data or a final error."""

    items: Sequence[Item]


@dataclass(frozen=True)
class Failed:
    """At least one ID failed in a way that another attempt may mend; `items` are what there is without one."""

    error: str
    items: Sequence[Item]


@dataclass(frozen=True)
class Held:
    """The API cannot be reached or asks to wait."""

    error: str
    retry_after_seconds: float | None


Outcome = Fetched | Failed | Held


async def attempt(source: Source, ids: Sequence[int], *, timeout_seconds: float) -> Outcome:
    """Fetch all IDs concurrently, within the time for them together."""
    return _outcome(ids, await asyncio.gather(*(_fetch(source, item_id, timeout_seconds) for item_id in ids)))


async def _fetch(source: Source, item_id: int, timeout_seconds: float) -> Item | AttemptFailed | SourceUnavailable:
    try:
        async with asyncio.timeout(timeout_seconds):
            return Item(item_id=item_id, data=await source.fetch(item_id))
    except TimeoutError:
        return AttemptFailed(f"the source did not answer within {timeout_seconds:g} s")
    except ItemRejected as error:
        return Item(item_id=item_id, error=str(error))
    except (AttemptFailed, SourceUnavailable) as error:
        return error


def _outcome(ids: Sequence[int], answers: Sequence[Item | AttemptFailed | SourceUnavailable]) -> Outcome:
    unavailable = [answer for answer in answers if isinstance(answer, SourceUnavailable)]
    if unavailable:
        asked = [error.retry_after_seconds for error in unavailable if error.retry_after_seconds is not None]
        return Held(str(unavailable[0]), max(asked, default=None))
    items = [
        _fitting(answer, RESULT_BYTES // len(ids)) if isinstance(answer, Item) else Item(item_id=one, error=str(answer))
        for one, answer in zip(ids, answers, strict=True)
    ]
    failures = [answer for answer in answers if isinstance(answer, AttemptFailed)]
    return Failed(str(failures[0]), items) if failures else Fetched(items)


def _fitting(item: Item, most: int) -> Item:
    """An item that leaves room for the others: a batch may be larger than the settings that the source was made for."""
    if len(item.data) <= most:
        return item
    return Item(item_id=item.item_id, error=f"the API's answer is larger than {most} bytes")
