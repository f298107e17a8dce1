"""What the live board shows: the gate, and the front of every lane.

Beyond a look at the service's health, it costs a point read for each of the few ingestions that it shows; nothing of it
is on the path of a batch.
"""

import asyncio
import json
from collections.abc import Sequence
from importlib.resources import files
from uuid import UUID

from ingest_core.errors import NotFound
from ingest_core.health import Health
from ingest_core.ingestions import Ingestions
from ingest_core.lanes import ingestion_of
from ingest_core.models import Ingestion, Priority
from ingest_core.ports import Clock, Message
from ingest_core.views import summary

SHOWN_PER_LANE = 5


def page() -> str:
    """The page itself; it asks for the board again and again."""
    return files("ingest_core").joinpath("board.html").read_text(encoding="utf-8")


async def board_text(health: Health, *, ingestions: Ingestions, clock: Clock, interval: float) -> str:
    """The board as JSON. Raises `StorageUnavailable`."""
    fronts = await asyncio.gather(*(_front(health.fronts[lane], ingestions) for lane in Priority))
    return json.dumps(
        {
            "now": clock.now().isoformat(),
            "interval": interval,
            "last_start": health.last_start or None,
            "paused": health.paused or None,
            "paused_until": health.paused_until.isoformat() if health.paused_until else None,
            "stalled": health.stalled or None,
            "lanes": {
                lane: {"waiting": health.waiting[lane], "front": [summary(ingestion) for ingestion in front]}
                for lane, front in zip(Priority, fronts, strict=True)
            },
        }
    )


async def _front(messages: Sequence[Message], ingestions: Ingestions) -> list[Ingestion]:
    ids = dict.fromkeys(map(ingestion_of, messages))  # a caller's retry may have left a second message
    found = await asyncio.gather(*(_read(one, ingestions) for one in list(filter(None, ids))[:SHOWN_PER_LANE]))
    return [ingestion for ingestion in found if ingestion is not None]


async def _read(ingestion_id: UUID, ingestions: Ingestions) -> Ingestion | None:
    try:
        return await ingestions.read(ingestion_id)
    except NotFound:
        return None
