"""What the live board shows: the gate, and the front of every lane.

A look costs a read of the gate, a peek per lane, and a point read for each of the few ingestions that it shows; nothing
of it is on the path of a batch.
"""

import asyncio
import json
from importlib.resources import files
from uuid import UUID

from ingest_core.errors import NotFound
from ingest_core.health import Health
from ingest_core.ingestions import Ingestions
from ingest_core.lanes import Lanes, ingestion_of
from ingest_core.models import Ingestion, Priority
from ingest_core.ports import Clock
from ingest_core.views import summary

SHOWN_PER_LANE = 5


def page() -> str:
    """The page itself; it asks for the board again and again."""
    return files("ingest_core").joinpath("board.html").read_text(encoding="utf-8")


async def board_text(health: Health, *, ingestions: Ingestions, lanes: Lanes, clock: Clock, interval: float) -> str:
    """The board as JSON. Raises `StorageUnavailable`."""
    fronts = await asyncio.gather(*(_front(lane, ingestions, lanes) for lane in Priority))
    return json.dumps(
        {
            "now": clock.now().isoformat(),
            "interval": interval,
            "last_start": health.last_start or None,
            "paused": health.paused or None,
            "stalled": health.stalled or None,
            "lanes": {
                lane: {"waiting": health.waiting[lane], "front": [summary(ingestion) for ingestion in front]}
                for lane, front in zip(Priority, fronts, strict=True)
            },
        }
    )


async def _front(lane: Priority, ingestions: Ingestions, lanes: Lanes) -> list[Ingestion]:
    ids = dict.fromkeys(map(ingestion_of, await lanes.peek(lane)))  # a caller's retry may have left a second message
    found = await asyncio.gather(*(_read(one, ingestions) for one in list(filter(None, ids))[:SHOWN_PER_LANE]))
    return [ingestion for ingestion in found if ingestion is not None]


async def _read(ingestion_id: UUID, ingestions: Ingestions) -> Ingestion | None:
    try:
        return await ingestions.read(ingestion_id)
    except NotFound:
        return None
