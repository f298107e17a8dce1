"""Retention: what ended long ago is deleted, a slice at a time.

Batch rows go first, then the ingestion row, then the history row by which they are found. So a slice that is cut
anywhere is continued by a later one. The ingestion row is read before every step: an ingestion that was posted again
under the same idempotency key is another one, and stays.
"""

import logging
from datetime import timedelta
from enum import Enum, auto

from ingest_core.errors import Changed, NotFound, UnreadableRow
from ingest_core.models import Ingestion
from ingest_core.ports import Clock
from ingest_core.storage.changes import Version
from ingest_core.storage.history import ClosedIngestion, History
from ingest_core.storage.ingestions import Ingestions

log = logging.getLogger(__name__)

CALLS_PER_SLICE = 5000
"""Storage calls of one slice, made one after another: ten seconds on Azurite, a minute or two on Azure."""


class Fate(Enum):
    """What a slice has done to an ingestion."""

    DELETED = auto()
    #: A later walk may find that it can be deleted.
    KEPT = auto()
    #: The slice ended before all its rows were deleted.
    CUT = auto()


class Retention:
    """Deletes in slices. `days` is how long ended ingestions are kept; with 0 nothing is ever deleted."""

    def __init__(
        self, *, ingestions: Ingestions, history: History, clock: Clock, days: int, calls: int = CALLS_PER_SLICE
    ) -> None:
        self._ingestions = ingestions
        self._history = history
        self._clock = clock
        self._days = days
        self._calls = calls
        self._calls_left = 0
        self._continue_after = ""

    async def run(self) -> int:
        """Delete what is old enough, as far as a slice reaches; how many it were. Raises `StorageUnavailable`."""
        if not self._days:
            return 0
        self._calls_left = self._calls
        before = self._clock.now() - timedelta(days=self._days)
        deleted = 0
        async for found in self._history.created_before(before, after=self._continue_after):
            if self._calls_left <= 0:
                return deleted
            if isinstance(found, ClosedIngestion) and found.ended_at < before:
                fate = await self._delete(found)
                if fate is Fate.CUT:  # the next slice goes on with this one
                    return deleted
                deleted += fate is Fate.DELETED
            self._continue_after = found.row_key if isinstance(found, ClosedIngestion) else found
        self._continue_after = ""
        return deleted

    async def _delete(self, closed: ClosedIngestion) -> Fate:
        """Delete one ingestion, as far as the slice reaches."""
        while self._calls_left > 0:
            self._calls_left -= 4  # read, query, transaction, and a deletion at the end
            try:
                version = await self._ingestions.read(closed.ingestion_id)
                if _is_same(version, closed):
                    if await self._ingestions.delete_batches(closed.ingestion_id):
                        continue
                    await self._ingestions.delete(version)
            except NotFound:
                pass  # an earlier slice was cut behind it
            except Changed:
                return Fate.KEPT  # somebody asked for a retry just now
            except UnreadableRow as error:
                log.info("retention.kept ingestion_id=%s reason=%s", closed.ingestion_id, error)
                return Fate.KEPT
            await self._history.delete(closed)
            return Fate.DELETED
        return Fate.CUT


def _is_same(version: Version[Ingestion], closed: ClosedIngestion) -> bool:
    return version.value.has_ended and version.value.created_at == closed.created_at
