"""The sweep removes messages of ended ingestions, stale messages and foreign messages from the fronts of the lanes.

Only the owner of the gate removes messages, only at a front, and only while its take keeps others out. Otherwise a
message that is received and not deleted could go to the back of its lane.
"""

import logging
from contextlib import suppress

from ingest_core.dispatch.gate import Gate
from ingest_core.dispatch.look import Sight
from ingest_core.dispatch.slots import SWEEP_CALLS_SECONDS
from ingest_core.errors import NotFound, StorageUnavailable, UnreadableRow
from ingest_core.models import Ingestion
from ingest_core.ports import Clock
from ingest_core.storage.stores import Stores

log = logging.getLogger(__name__)


class Sweep:
    """Removes messages and ends batches that a look has found. Every coroutine raises `StorageUnavailable`."""

    def __init__(self, stores: Stores, *, gate: Gate, clock: Clock) -> None:
        self._ingestions = stores.ingestions
        self._lanes = stores.lanes
        self._closing = stores.closing
        self._gate = gate
        self._clock = clock
        self._copied: set[str] = set()
        """The messages that were copied to a poison queue, and then could not be removed."""

    async def remove(self, sight: Sight) -> None:
        """Remove messages from the fronts. Begin no call so late that others could take the gate before its end."""
        until = self._gate.excludes_others_until() + SWEEP_CALLS_SECONDS
        for lane, front in sight.removable.items():
            for removable in front:
                message_id, reason = removable.message.message_id, removable.poison_reason
                if reason and message_id not in self._copied and self._clock.monotonic() < until:
                    text = "message.foreign lane=%s message_id=%s moved_to=poison_queue reason=%s"
                    log.warning(text, lane, message_id, reason)
                    await self._lanes.put_poison(lane, removable.message.text)
                    self._copied.add(message_id)
                if self._clock.monotonic() >= until:
                    return
                if not await self._lanes.remove(lane, removable.message):
                    break
                self._copied.discard(message_id)

    async def end_abandoned(self, sight: Sight) -> None:
        """Cancel the batches of cancelled ingestions whose process is gone, so that the ingestions can end."""
        for ingestion in sight.abandoned:
            try:
                written = await self._ingestions.change(ingestion.ingestion_id, self._without_abandoned)
            except (NotFound, UnreadableRow):
                continue
            if written and written.value.has_ended:
                log.info("ingestion.cancelled ingestion_id=%s errors=%d", ingestion.ingestion_id, ingestion.error_count)
                with suppress(StorageUnavailable):  # the end is written; upkeep closes what this leaves open
                    await self._closing.close(written.value)

    def _without_abandoned(self, ingestion: Ingestion) -> Ingestion | None:
        after = ingestion.abandoned_batches_cancelled(age=self._gate.age())
        return after and after.with_end(self._clock.now())
