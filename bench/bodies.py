"""What is sent: IDs drawn from the whole allowed range, always the same ones, so that every design gets equal work."""

import json
import random

from ingest_core.api.bodies import MAX_ID


def ids_of(count: int) -> list[int]:
    """So many IDs; most have nine or ten digits, the longest JSON there is."""
    draw = random.Random(count)  # noqa: S311 # repeatable, not secret
    return [draw.randint(1, MAX_ID) for _ in range(count)]


def body_of(count: int, priority: str = "HIGH") -> bytes:
    """A request body, written as `json.dumps` writes it."""
    return json.dumps({"ids": ids_of(count), "priority": priority}).encode()
