"""Puts back the messages that storage or a crash has lost: what was accepted is processed.

An ingestion row without a message comes from a host that died between the two writes of an accept, or from a storage
that lost its last seconds. Messages leave a lane from the front, so an unfinished ingestion that was queued before its
lane's front message, or whose lane is empty, has none.
"""

import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from ingest_core.errors import Changed
from ingest_core.ingestions import Ingestions
from ingest_core.lanes import Lanes, ingestion_of
from ingest_core.models import Ingestion, Priority
from ingest_core.ports import Clock, Message

log = logging.getLogger(__name__)

MARGIN = timedelta(minutes=1)
"""`queued_at` is a host's clock and `inserted_on` the queue service's: they may differ by this much."""


async def recover(ingestions: Ingestions, lanes: Lanes, clock: Clock) -> int:
    """Put lost messages back and return how many there were. Raises `StorageUnavailable`.

    The rows are read before the fronts: an ingestion that is accepted meanwhile is then not taken for a lost one. One
    that finishes meanwhile gets a message that the next look sweeps away.
    """
    unfinished = [found async for found in ingestions.unfinished()]
    if not unfinished:
        return 0
    fronts = {lane: await lanes.peek(lane) for lane in Priority}
    lost = [found for found in unfinished if _has_no_message(found[0], fronts[found[0].priority])]
    for ingestion, etag in sorted(lost, key=lambda found: found[0].queued_at):
        log.warning("message.restored ingestion_id=%s lane=%s", ingestion.ingestion_id, ingestion.priority)
        await lanes.put(ingestion.priority, ingestion.ingestion_id)
        # Message before note: a crash here costs a second message, which is swept away; the reverse would lose it.
        try:
            await ingestions.queued_again(replace(ingestion, queued_at=clock.now()), etag=etag)
        except Changed:
            log.info("message.restored_while_running ingestion_id=%s", ingestion.ingestion_id)
    return len(lost)


def _has_no_message(ingestion: Ingestion, front: Sequence[Message]) -> bool:
    if not front:
        return True
    if any(ingestion_of(message) == ingestion.ingestion_id for message in front):
        return False
    return ingestion.queued_at < min(message.inserted_on for message in front) - MARGIN
