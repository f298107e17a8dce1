"""Retention deletes ingestions that ended long ago, in slices.

It deletes the batch rows first, then the ingestion row, and last the history row by which it finds them. So a later
slice can continue wherever a slice was interrupted. It reads the ingestion row before every step, because a list may
have been posted again with the same idempotency key. That is another ingestion, which stays.
"""

import logging
from datetime import timedelta
from enum import Enum, auto

from ingest_core.errors import Changed, NotFound, UnreadableRow
from ingest_core.models import Ingestion
from ingest_core.ports import Clock
from ingest_core.storage.changes import Version
from ingest_core.storage.history import ClosedIngestion
from ingest_core.storage.stores import Stores

log = logging.getLogger(__name__)

CALLS_PER_SLICE = 5000
"""The storage calls of one slice. One after another, they take ten seconds on Azurite and a minute or two on Azure."""


class Fate(Enum):
    """What a slice has done with an ingestion."""

    DELETED = auto()
    #: It cannot be deleted now. A later walk over the history tries again.
    KEPT = auto()
    #: The slice ended before all rows of the ingestion were deleted.
    CUT = auto()


class Retention:
    """Deletes in slices. `days` is how long ended ingestions are kept; 0 keeps them for ever."""

    def __init__(self, stores: Stores, *, clock: Clock, days: int, calls: int = CALLS_PER_SLICE) -> None:
        self._ingestions = stores.ingestions
        self._history = stores.history
        self._clock = clock
        self._days = days
        self._calls = calls
        self._calls_left = 0
        self._continue_after = ""

    async def run(self) -> int:
        """Delete old ingestions until the slice's calls are used up; return how many. Raises `StorageUnavailable`."""
        if not self._days:
            return 0
        self._calls_left = self._calls
        before = self._clock.now() - timedelta(days=self._days)
        deleted = 0
        async for row in self._history.created_before(before, after=self._continue_after):
            if self._calls_left <= 0:
                return deleted
            if isinstance(row, ClosedIngestion) and row.ended_at < before:
                fate = await self._delete(row)
                if fate is Fate.CUT:  # the next slice goes on with this ingestion
                    return deleted
                deleted += fate is Fate.DELETED
            self._continue_after = row.row_key if isinstance(row, ClosedIngestion) else row
        self._continue_after = ""
        return deleted

    async def _delete(self, closed: ClosedIngestion) -> Fate:
        """Delete the rows of one ingestion until the slice's calls are used up."""
        while self._calls_left > 0:
            self._calls_left -= 4  # a read, a query, a transaction, and perhaps the deletion at the end
            try:
                version = await self._ingestions.read(closed.ingestion_id)
                if _is_same(version, closed):
                    if await self._ingestions.delete_batches(closed.ingestion_id):
                        continue
                    await self._ingestions.delete(version)
            except NotFound:
                pass  # an earlier slice ended after it had deleted this row
            except Changed:
                return Fate.KEPT  # a caller has just requested a retry
            except UnreadableRow as error:
                log.info("retention.kept ingestion_id=%s reason=%s", closed.ingestion_id, error)
                return Fate.KEPT
            await self._history.delete(closed)
            return Fate.DELETED
        return Fate.CUT


def _is_same(version: Version[Ingestion], closed: ClosedIngestion) -> bool:
    return version.value.has_ended and version.value.created_at == closed.created_at
