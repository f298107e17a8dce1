"""The list of ingestions, newest first: the backlog and the history, merged.

The backlog is read before the history. So an ingestion that is closed meanwhile is found in both and shown once; in the
other order it would be found in neither. A page continues after the key of the last row that the page before has looked
at, so nothing that arrives or ends meanwhile is skipped or shown twice.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from ingest_core.errors import NotFound, UnreadableRow
from ingest_core.models import Ingestion, Priority, Status
from ingest_core.storage.backlog import OpenIngestion, ingestion_id_in
from ingest_core.storage.history import ClosedIngestion
from ingest_core.storage.stores import Stores

MOST_LOOKED_AT = 1000
READ_TOGETHER = 8

_FINAL = frozenset({Status.COMPLETED, Status.FAILED, Status.CANCELLED})

Row = OpenIngestion | ClosedIngestion | str
"""A row of either table. A row that cannot be read is given as its key."""

Listed = Ingestion | ClosedIngestion
"""What a list shows: the present state of an open ingestion, or how a closed one has ended."""


@dataclass(frozen=True, kw_only=True)
class Filters:
    """Which ingestions are asked for; an empty set asks for all."""

    statuses: frozenset[Status] = frozenset()
    priorities: frozenset[Priority] = frozenset()


@dataclass(frozen=True, kw_only=True)
class ListPage:
    """A page, and the key after which the next page begins, if there is a next page."""

    ingestions: Sequence[Listed]
    next_after: str | None


class Listing:
    """Lists ingestions. Raises `StorageUnavailable`."""

    def __init__(self, stores: Stores) -> None:
        self._ingestions = stores.ingestions
        self._backlog = stores.backlog
        self._history = stores.history

    async def page(self, filters: Filters, *, limit: int, after: str = "") -> ListPage:
        """At most `limit` ingestions after the key `after`.

        There are fewer only at the end, or if 1 000 rows have been looked at. Rows that cannot be read are skipped.
        With a filter of final statuses only, an ingestion is found once it is closed, most often some milliseconds
        after its end. Otherwise every open ingestion would have to be read.
        """
        matches: list[tuple[str, Listed]] = []
        looked_at, key = 0, after
        # With filters, it is unknown how many rows a page takes. Without filters, the rest of a longer page is wasted.
        page_size = MOST_LOOKED_AT if filters != Filters() else limit + 1
        async with aclosing(self._rows(filters, after, page_size)) as rows:
            while len(matches) <= limit and looked_at < MOST_LOOKED_AT:
                count = min(READ_TOGETHER, limit + 1 - len(matches), MOST_LOOKED_AT - looked_at)
                group = [row async for row in _first(rows, count)]
                matches += await self._matching(group, filters)
                looked_at += len(group)
                key = _key(group[-1]) if group else key
                if len(group) < count:
                    return _page(matches, limit, None)
        return _page(matches, limit, key)

    async def _rows(self, filters: Filters, after: str, page_size: int) -> AsyncGenerator[Row, None]:
        """The rows of both tables, newest first, each ingestion once."""
        is_open_wanted = not filters.statuses or filters.statuses - _FINAL
        opened: Iterator[Row] = iter(())
        if is_open_wanted:
            async with aclosing(self._backlog.rows(after=after)) as backlog:  # type: ignore[type-var] # a generator
                ours = (row async for row in backlog if ingestion_id_in(_key(row)))  # no cursor names a foreign row
                opened = iter([row async for row in _first(ours, MOST_LOOKED_AT)])
        next_open = next(opened, None)
        async with aclosing(self._history.rows(after=after, page_size=page_size)) as history:  # type: ignore[type-var] # as above
            async for closed in history:
                while next_open is not None and _key(next_open) < _key(closed):
                    yield next_open
                    next_open = next(opened, None)
                if next_open is not None and _key(next_open) == _key(closed):
                    next_open = next(opened, None)
                yield closed
        while next_open is not None:
            yield next_open
            next_open = next(opened, None)

    async def _matching(self, rows: Sequence[Row], filters: Filters) -> list[tuple[str, Listed]]:
        states = await asyncio.gather(*(self._state(row, filters) for row in rows))
        return [
            (_key(row), state)
            for row, state in zip(rows, states, strict=True)
            if state is not None and _matches(state, filters)
        ]

    async def _state(self, row: Row, filters: Filters) -> Listed | None:
        """The ingestion of a row; None if it cannot be read, or is in another lane."""
        if isinstance(row, str):
            return None
        if isinstance(row, ClosedIngestion):
            return row
        if filters.priorities and row.priority not in filters.priorities:
            return None
        try:
            return (await self._ingestions.read(row.ingestion_id)).value
        except (NotFound, UnreadableRow):
            return None


def _page(matches: Sequence[tuple[str, Listed]], limit: int, key: str | None) -> ListPage:
    """The page; `key` is that of the last row that was looked at, if there may be more behind it."""
    if len(matches) > limit:
        key = matches[limit - 1][0]
    return ListPage(ingestions=[listed for _, listed in matches[:limit]], next_after=key)


def _matches(listed: Listed, filters: Filters) -> bool:
    has_status = not filters.statuses or listed.status in filters.statuses
    return has_status and (not filters.priorities or listed.priority in filters.priorities)


def _key(row: Row) -> str:
    return row if isinstance(row, str) else row.row_key


async def _first(rows: AsyncIterator[Row], count: int) -> AsyncIterator[Row]:
    """At most `count` of the next rows. The iterator can be used again afterwards."""
    for _ in range(count):
        try:
            yield await anext(rows)
        except StopAsyncIteration:
            return
