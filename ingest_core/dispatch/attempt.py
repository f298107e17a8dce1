"""Makes one attempt at a batch: fetches the IDs that have no result yet, and turns the answers into one outcome.

If the API throttles any ID of a batch, the attempt does not count as a failure.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ingest_core.errors import AttemptFailed, ItemRejected, SourceUnavailable
from ingest_core.models import Item
from ingest_core.ports import RESULT_BYTES, Answer, Source

Delivered = tuple[Item | None, ...]
"""For each ID of a batch, in order: its data or final error, or None if it has neither yet."""


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """Every ID has data or a final error."""

    items: Sequence[Item]


@dataclass(frozen=True, kw_only=True)
class Failed:
    """At least one ID failed with an error that is not final.

    `items` has an entry for every ID. `had_answer` says whether any ID got data or a final error in this attempt.
    """

    error: str
    items: Sequence[Item]
    had_answer: bool
    #: What the log must say of errors in the source itself, each text once.
    log_texts: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Throttled:
    """The API cannot be reached or asks to wait: `retry_after_seconds` from its answer on, None if it does not say."""

    error: str
    items: Sequence[Item]
    retry_after_seconds: float | None
    log_texts: Sequence[str] = ()


Outcome = Fetched | Failed | Throttled


async def attempt(source: Source, ids: Sequence[int], *, delivered: Delivered, timeout_seconds: float) -> Outcome:
    """Fetch the IDs whose entry in `delivered` is None. `timeout_seconds` is for all of them together."""
    missing = [place for place, item in enumerate(delivered) if item is None]
    answers = await source.fetch_batch([ids[place] for place in missing], timeout_seconds=timeout_seconds)
    limit = RESULT_BYTES // len(ids)
    items = list(delivered)
    for place, answer in zip(missing, answers, strict=True):
        items[place] = _item(ids[place], answer, limit)
    return _outcome([item for item in items if item is not None], answers)


def delivered_by(items: Sequence[Item]) -> Delivered:
    """The results that another attempt does not have to fetch again."""
    return tuple(item if item.is_final else None for item in items)


def _item(item_id: int, answer: Answer, limit: int) -> Item:
    if not isinstance(answer, str):
        return Item(item_id=item_id, error=str(answer) or "no reason given", is_final=isinstance(answer, ItemRejected))
    if len(answer) > limit:  # the source knows only the present batch size, and an older batch may be larger
        return Item(item_id=item_id, error=f"the API's answer is larger than {limit} bytes")
    return Item(item_id=item_id, data=answer)


def _outcome(items: Sequence[Item], answers: Sequence[Answer]) -> Outcome:
    texts = dict.fromkeys(answer.log_text for answer in answers if isinstance(answer, AttemptFailed))
    log_texts = tuple(filter(None, texts))
    unavailable = [answer for answer in answers if isinstance(answer, SourceUnavailable)]
    if unavailable:
        waits = [error.retry_after_seconds for error in unavailable if error.retry_after_seconds is not None]
        return Throttled(
            error=str(unavailable[0]), items=items, retry_after_seconds=max(waits, default=None), log_texts=log_texts
        )
    failed = [item for item in items if not item.is_final]
    if not failed:
        return Fetched(items=items)
    had_answer = any(isinstance(answer, str | ItemRejected) for answer in answers)
    return Failed(error=failed[0].error, items=items, had_answer=had_answer, log_texts=log_texts)
