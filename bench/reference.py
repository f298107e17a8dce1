"""The in-memory reference: FastAPI, a priority queue, a UUID per batch, a dictionary. A restart loses all data."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, Literal
from uuid import uuid4

from fastapi import FastAPI, HTTPException
from pydantic import BaseModel, Field

BATCH_SIZE = 3
INTERVAL_SECONDS = 5.0
RANKS = {"HIGH": 0, "MEDIUM": 1, "LOW": 2}

queue: asyncio.PriorityQueue[tuple[int, int, dict[str, Any]]] = asyncio.PriorityQueue()
store: dict[str, dict[str, Any]] = {}
serial = itertools.count()


class Body(BaseModel):
    """The body of a POST."""

    ids: Annotated[list[Annotated[int, Field(ge=1, le=1_000_000_007)]], Field(min_length=1, max_length=100_000)]
    priority: Literal["HIGH", "MEDIUM", "LOW"]


async def work() -> None:
    """Process one batch per interval."""
    while True:
        _, _, batch = await queue.get()
        batch["status"] = "triggered"
        await asyncio.sleep(0.1)
        batch["status"] = "completed"
        await asyncio.sleep(INTERVAL_SECONDS - 0.1)


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Work while the server runs."""
    worker = asyncio.create_task(work())
    yield
    worker.cancel()


app = FastAPI(lifespan=lifespan)


@app.post("/ingest", status_code=202)
async def ingest(body: Body) -> dict[str, str]:
    """Accept a list."""
    ingestion_id = str(uuid4())
    batches = [
        {"batch_id": str(uuid4()), "ids": body.ids[start : start + BATCH_SIZE], "status": "yet_to_start"}
        for start in range(0, len(body.ids), BATCH_SIZE)
    ]
    store[ingestion_id] = {"ingestion_id": ingestion_id, "batches": batches}
    for batch in batches:
        queue.put_nowait((RANKS[body.priority], next(serial), batch))
    return {"ingestion_id": ingestion_id}


@app.get("/status/{ingestion_id}")
async def status(ingestion_id: str) -> dict[str, Any]:
    """Show an ingestion."""
    if ingestion_id not in store:
        raise HTTPException(status_code=404)
    ingestion = store[ingestion_id]
    states = {batch["status"] for batch in ingestion["batches"]}
    whole = states.pop() if len(states) == 1 else "triggered"
    return {**ingestion, "status": whole}


@app.get("/health")
async def health() -> dict[str, str]:
    """Answer that the server runs."""
    return {"status": "ok"}
