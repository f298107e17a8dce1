"""Uses storage in a process of its own, as the environment of this process says."""

import asyncio
import os
from multiprocessing.connection import Connection
from uuid import uuid4

import azure.identity.aio  # noqa: F401 # so that a server of processes has imported it

from ingest_core.api.handlers import Request, ingest
from ingest_core.app import App
from ingest_core.errors import InvalidSettings, StorageError
from ingest_core.models import Priority
from ingest_core.ports import Storage
from ingest_core.storage.azure import AzureStorage
from ingest_core.storage.connection import read_connection


async def use(storage: Storage) -> dict:
    """Make every kind of call."""
    key = {"PartitionKey": str(uuid4()), "RowKey": "a"}
    etag = await storage.ingestions.insert({**key, "n": 1})
    etag = await storage.ingestions.merge({**key, "n": 2}, etag=etag)
    await storage.ingestions.put_and_merge({**key, "RowKey": "b", "n": 3}, {**key, "n": 4}, etag=etag)
    rows = [stored.entity["n"] async for stored in storage.ingestions.query({"PartitionKey": key["PartitionKey"]})]
    lane = storage.lanes[Priority.HIGH]
    await lane.put("text")
    message = await lane.receive()
    assert message
    await lane.delete(message)
    return {"rows": rows, "text": message.text}


async def use_often(tries: int) -> list[dict]:
    """The result of each try: what was read, or the error."""
    try:
        storage = AzureStorage(read_connection(os.environ))
    except InvalidSettings as error:
        return [{"problems": error.problems}]
    results = []
    for number in range(tries):
        await asyncio.sleep(2 if number else 0)
        try:
            results.append(await use(storage))
        except StorageError as error:
            results.append({"error": type(error).__name__, "message": str(error)})
    await storage.close()
    return results


async def answer() -> list[dict]:
    """The app's answer to a list."""
    app = App(os.environ)
    request = Request(method="POST", url="http://localhost/ingest", body=b'{"ids": [1], "priority": "HIGH"}')
    answered = await app.handle(ingest, request)
    await app.close()
    return [{"status": answered.status, "retry_after": answered.headers.get("Retry-After"), "body": answered.body}]


def run(env: dict[str, str], tries: int | str, results: Connection) -> None:
    """Use storage so many times, or "answer" a list; send the results."""
    os.environ.clear()
    os.environ.update(env)
    results.send(asyncio.run(answer() if tries == "answer" else use_often(int(tries))))
