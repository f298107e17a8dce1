"""Use storage as the environment of this process says, and print as JSON what came of each try, or the app's answer.

A process of its own, since what TLS trusts (`SSL_CERT_FILE`) is read once.
"""

import asyncio
import json
import os
import sys
from uuid import uuid4

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


async def main(tries: int) -> None:
    try:
        storage = AzureStorage(read_connection(os.environ))
    except InvalidSettings as error:
        print(json.dumps([{"problems": error.problems}]))
        return
    results = []
    for number in range(tries):
        await asyncio.sleep(2 if number else 0)
        try:
            results.append(await use(storage))
        except StorageError as error:
            results.append({"error": type(error).__name__, "message": str(error)})
    await storage.close()
    print(json.dumps(results))


async def answer() -> None:
    """What the app answers to a list."""
    app = App(os.environ)
    request = Request(method="POST", url="http://localhost/ingest", body=b'{"ids": [1], "priority": "HIGH"}')
    given = await app.handle(ingest, request)
    await app.close()
    print(json.dumps([{"status": given.status, "retry_after": given.headers.get("Retry-After"), "body": given.body}]))


if __name__ == "__main__":
    asyncio.run(answer() if sys.argv[1] == "answer" else main(int(sys.argv[1])))
