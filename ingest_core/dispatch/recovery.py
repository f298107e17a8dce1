"""Recovery puts lost messages back, and finishes an end, a cancel or a change of priority that was interrupted.

It reads the backlog first and the fronts of the lanes second, so that a list that is accepted in between does not seem
lost. It acts only on what it finds twice, some seconds apart: by then, a storage call of another process has taken
effect or never will. It compares no clocks of two hosts.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from enum import StrEnum
from operator import attrgetter

from ingest_core.dispatch.fronts import Fronts, Suspect, differs, front_of, ids_at, suspect_of
from ingest_core.errors import NotFound, StorageUnavailable, UnreadableRow
from ingest_core.models import Ingestion, Priority
from ingest_core.ports import CALL_SECONDS, Clock
from ingest_core.storage.backlog import OpenIngestion, ingestion_id_in, row_key
from ingest_core.storage.stores import Stores

log = logging.getLogger(__name__)

SETTLE_SECONDS = CALL_SECONDS + 2
"""The time between the two looks. Storage calls end within it, and received messages become visible again."""

CHECKED_PER_RUN = 100
"""Each run also reads this many other ingestion rows, in turn, because some faults show only there."""

READ_TOGETHER = 8


class Repair(StrEnum):
    """What recovery has done for an ingestion."""

    RESTORED = "restored"
    CLOSED = "closed"
    FORGOTTEN = "forgotten"
    REPAIRED = "repaired"


class Recovery:
    """Checks and repairs all open ingestions. Every coroutine raises `StorageUnavailable`."""

    def __init__(self, stores: Stores, *, gate_age: Callable[[], Awaitable[float]], clock: Clock) -> None:
        self._ingestions = stores.ingestions
        self._lanes = stores.lanes
        self._backlog = stores.backlog
        self._history = stores.history
        self._closing = stores.closing
        self._gate_age = gate_age
        self._clock = clock
        self._checked_to = ""
        self._can_close = True
        self._warned: set[str] = set()

    async def run(self) -> Sequence[Repair]:
        """Find ingestions with a fault, look again after some seconds, and repair those that still have the fault."""
        rows = [row async for row in self._backlog.rows()]
        fronts = await self._peek()
        unreadable = self._unreadable(rows)
        readable = [suspect_of(row) for row in rows if isinstance(row, OpenIngestion)]
        lost = {suspect.key: suspect for suspect in readable if suspect.seems_lost(fronts)}
        others = [suspect for suspect in readable if suspect.key not in lost]
        without_row = _without_row(fronts, [*unreadable, *readable])
        suspects = [*unreadable, *lost.values()]
        suspects += await self._check([*self._to_check(others, fronts), *without_row], fronts)
        if not suspects:
            return []
        await self._clock.sleep(SETTLE_SECONDS)
        fronts = await self._peek()
        self._can_close = True
        done = [await self._resolve(suspect, fronts) for suspect in sorted(suspects, key=attrgetter("place"))]
        return [repair for repair in done if repair]

    async def _peek(self) -> Fronts:
        return {lane: front_of(await self._lanes.peek(lane)) for lane in Priority}

    def _unreadable(self, rows: Sequence[OpenIngestion | str]) -> list[Suspect]:
        suspects = []
        for key in rows:
            if isinstance(key, OpenIngestion):
                continue
            ingestion_id = ingestion_id_in(key)
            if ingestion_id is None:
                self._warn(key, "a row of the backlog names no ingestion")
            else:
                suspects.append(Suspect(ingestion_id=ingestion_id, key=key))
        return suspects

    def _to_check(self, others: Sequence[Suspect], fronts: Fronts) -> Sequence[Suspect]:
        """Choose the ingestions with a message at a front, and the next `CHECKED_PER_RUN` others in turn."""
        following = [suspect for suspect in others if (suspect.key or "") > self._checked_to][:CHECKED_PER_RUN]
        is_last_part = len(following) < CHECKED_PER_RUN
        self._checked_to = "" if is_last_part else following[-1].key or ""
        keys = {suspect.key for suspect in following}
        at_front = ids_at(fronts)
        return [suspect for suspect in others if suspect.key in keys or suspect.ingestion_id in at_front]

    async def _check(self, candidates: Sequence[Suspect], fronts: Fronts) -> list[Suspect]:
        """The candidates that need a repair, judging by their ingestion rows."""
        suspects = []
        for group in _groups(candidates):
            answers = await asyncio.gather(*(self._needs_repair(candidate, fronts) for candidate in group))
            suspects += [candidate for candidate, is_needed in zip(group, answers, strict=True) if is_needed]
        return suspects

    async def _needs_repair(self, candidate: Suspect, fronts: Fronts) -> bool:
        try:
            ingestion = (await self._ingestions.read(candidate.ingestion_id)).value
        except (NotFound, UnreadableRow):
            return candidate.row is not None
        if ingestion.has_ended:
            return candidate.row is not None or not await self._history.contains(ingestion)
        if not candidate.agrees_with(ingestion) or candidate.is_lost(ingestion, fronts):
            return True
        return await self._without_abandoned(ingestion) is not None

    async def _resolve(self, suspect: Suspect, fronts: Fronts) -> Repair | None:
        try:
            ingestion = (await self._ingestions.read(suspect.ingestion_id)).value
            if change := await self._without_abandoned(ingestion):
                written = await self._ingestions.change(suspect.ingestion_id, change)
                ingestion = written.value if written else ingestion
            if ingestion.has_ended:
                return await self._close(suspect, ingestion)
            is_repaired = await self._repair_row(suspect, ingestion)
            if suspect.is_lost(ingestion, fronts):
                await self._restore(ingestion)
                return Repair.RESTORED
        except NotFound:
            # The ingestion row is written first and deleted last, so the ingestion is gone for good.
            return await self._forget(suspect)
        except UnreadableRow as error:
            self._warn(str(suspect.ingestion_id), str(error))
            return None
        return Repair.REPAIRED if is_repaired else None

    async def _without_abandoned(self, ingestion: Ingestion) -> Callable[[Ingestion], Ingestion | None] | None:
        """The change that cancels the abandoned batches of a cancelled ingestion; None if it has no such batch."""
        if not ingestion.cancel_requested_at or not ingestion.in_flight:
            return None
        age = await self._gate_age()

        def change(present: Ingestion) -> Ingestion | None:
            after = present.abandoned_batches_cancelled(age=age)
            return after and after.with_end(self._clock.now())

        return change if change(ingestion) else None

    async def _close(self, suspect: Suspect, ingestion: Ingestion) -> Repair | None:
        """Close the ingestion. If storage fails, close no other in this run: the next run tries again."""
        if not self._can_close:
            return None
        try:
            await self._closing.close(ingestion, backlog_key=suspect.key)
        except StorageUnavailable as error:
            self._can_close = False
            log.warning("ingestion.close_failed ingestion_id=%s error=%s retry=upkeep", ingestion.ingestion_id, error)
            return None
        log.info("ingestion.closed_late ingestion_id=%s status=%s", ingestion.ingestion_id, ingestion.status)
        return Repair.CLOSED

    async def _repair_row(self, suspect: Suspect, ingestion: Ingestion) -> bool:
        """Give the backlog row the values of the ingestion row; return whether a row was changed."""
        row = suspect.row
        if suspect.key is None:  # most often the ingestion was accepted after the backlog was read
            return await self._backlog.insert(ingestion)
        if suspect.key != row_key(ingestion):
            await self._backlog.insert(ingestion)
            await self._backlog.delete(suspect.key)
        elif row is None or row.generation > ingestion.generation:
            await self._backlog.repair(ingestion)
        elif differs(row, ingestion):
            await self._backlog.update(ingestion)
        else:
            return False
        log.info("backlog.repaired ingestion_id=%s", ingestion.ingestion_id)
        return True

    async def _restore(self, ingestion: Ingestion) -> None:
        """Put the message back and update both rows. A crash in between leaves a second message, which is swept later.

        Raises `UnreadableRow` if the IDs cannot be read.
        """
        generation = ingestion.generation
        # If the IDs cannot be read, the look would move the message to the poison queue again.
        await self._ingestions.read_whole(ingestion.ingestion_id)
        await self._lanes.put(ingestion.priority, ingestion.ingestion_id, generation)
        log.warning("message.restored ingestion_id=%s lane=%s", ingestion.ingestion_id, ingestion.priority)
        written = await self._ingestions.change(
            ingestion.ingestion_id, lambda present: present.queued(generation, at=self._clock.now())
        )
        if written:
            await self._backlog.update(written.value)

    async def _forget(self, suspect: Suspect) -> Repair | None:
        if suspect.key is None:
            return None
        await self._backlog.delete(suspect.key)
        log.warning("backlog.forgotten ingestion_id=%s: it does not exist", suspect.ingestion_id)
        return Repair.FORGOTTEN

    def _warn(self, name: str, reason: str) -> None:
        """Log that a row cannot be read, once for each row in the life of a process."""
        if name not in self._warned:
            self._warned.add(name)
            log.warning("row.unreadable row=%s reason=%s", name, reason)


def _without_row(fronts: Fronts, known: Sequence[Suspect]) -> list[Suspect]:
    """The ingestions with a message at a front that are not in the backlog."""
    missing = ids_at(fronts) - {suspect.ingestion_id for suspect in known}
    return [Suspect(ingestion_id=ingestion_id) for ingestion_id in missing]


def _groups(candidates: Sequence[Suspect]) -> Iterator[Sequence[Suspect]]:
    for start in range(0, len(candidates), READ_TOGETHER):
        yield candidates[start : start + READ_TOGETHER]
