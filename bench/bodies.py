"""The request bodies. IDs are drawn from the whole allowed range, and are always the same, so that designs compare."""

import json
import random

from ingest_core.api.bodies import MAX_ID


def ids_of(count: int) -> list[int]:
    """Return `count` IDs. Most have nine or ten digits, so their JSON has nearly the greatest length."""
    draw = random.Random(count)  # noqa: S311 # repeatable, not secret
    return [draw.randint(1, MAX_ID) for _ in range(count)]


def body_of(count: int, priority: str = "HIGH") -> bytes:
    """Return a request body with `count` IDs, as `json.dumps` writes it."""
    return json.dumps({"ids": ids_of(count), "priority": priority}).encode()
