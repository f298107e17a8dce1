"""Ways to an account that easily go wrong: missing permissions, misread hosts, proxies and broken connections."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from azure.storage.queue import AccountSasPermissions, ResourceTypes, generate_account_sas

from devtools.azurite import ROOT, Azurite
from devtools.ports import free_ports
from ingest_core.errors import Changed, StorageDenied, StorageUnavailable
from ingest_core.models import Priority
from ingest_core.storage import transport
from ingest_core.storage.azure import AzureStorage
from ingest_core.storage.connection import read_connection
from ingest_core.storage.connection_string import DEVELOPMENT_STORAGE

NO_MESSAGES = b"HTTP/1.1 200 OK\r\nContent-Type: application/xml\r\nContent-Length: 20\r\n\r\n<QueueMessagesList/>"


def parts_of(connection_string: str) -> dict[str, str]:
    """Its parts by name."""
    return dict(part.split("=", 1) for part in connection_string.strip(";").split(";"))


def sas(connection_string: str, permissions: str) -> str:
    """A connection string with a SAS that permits no more than this.

    https://learn.microsoft.com/rest/api/storageservices/create-account-sas
    """
    parts = parts_of(connection_string)
    token = generate_account_sas(
        parts["AccountName"],
        parts["AccountKey"],
        ResourceTypes(service=True, container=True, object=True),
        AccountSasPermissions.from_string(permissions),
        datetime.now(UTC) + timedelta(hours=1),
        services="qt",
    )
    ends = f"TableEndpoint={parts['TableEndpoint']};QueueEndpoint={parts['QueueEndpoint']}"
    return f"{ends};SharedAccessSignature={token}"


async def use(storage: AzureStorage) -> None:
    """Make every kind of call."""
    key = {"PartitionKey": str(uuid4()), "RowKey": "a"}
    etag = await storage.ingestions.insert({**key, "n": 1})
    etag = await storage.ingestions.merge({**key, "n": 2}, etag=etag)
    await storage.ingestions.put_and_merge({**key, "RowKey": "b", "n": 3}, {**key, "n": 4}, etag=etag)
    rows = [stored.entity["n"] async for stored in storage.ingestions.query({"PartitionKey": key["PartitionKey"]})]
    assert rows == [4, 3]
    await storage.ingestions.delete(key["PartitionKey"], "b")
    lane = storage.lanes[Priority.MEDIUM]
    await lane.put("text")
    message = await lane.receive()
    assert message
    await lane.delete(message)


@asynccontextmanager
async def opened(text: str, **environ: str) -> AsyncIterator[AzureStorage]:
    """Storage with this connection string."""
    storage = AzureStorage(read_connection({"AzureWebJobsStorage": text, **environ}))
    yield storage
    await storage.close()


async def test_a_sas_that_permits_all_opens_the_account(storage_emulator: Azurite) -> None:
    """Tables and queues, transactions included."""
    async with opened(sas(storage_emulator.connection_string, "rwdlacup")) as storage:
        await use(storage)


async def test_what_a_sas_does_not_permit_is_named(storage_emulator: Azurite) -> None:
    """With the status and the code, so that nobody looks for the fault elsewhere."""
    async with opened(sas(storage_emulator.connection_string, "raclp")) as storage:
        key = {"PartitionKey": str(uuid4()), "RowKey": "a"}
        etag = await storage.dispatch.insert(key)
        refused = r"cannot merge into the table dispatch: storage answered 403 AuthorizationPermissionMismatch: .*SAS"
        assert storage.denied_calls == []
        with pytest.raises(StorageDenied, match=refused):
            await storage.dispatch.merge({**key, "n": 1}, etag=etag)
        await storage.dispatch.get(key["PartitionKey"], "a")
        assert storage.denied_calls == ["merge into the table dispatch"]


@pytest.mark.parametrize(
    ("permissions", "refused"),
    [
        ("rdlacp", ["merge into the table ingestions"]),  # Azurite permits it in a transaction
        ("rdlcup", ["insert into the table ingestions", "put a message into the queue ingest-medium"]),
        ("rlacup", ["delete rows of the table ingestions"]),
        ("rdlacu", ["receive a message from the queue ingest-medium"]),
    ],
)
async def test_each_call_that_a_sas_does_not_permit_is_remembered(
    storage_emulator: Azurite, permissions: str, refused: list[str]
) -> None:
    """Health shows them, as the process that is refused may have nobody who reads its log."""
    async with opened(storage_emulator.connection_string) as storage:
        row = {"PartitionKey": str(uuid4()), "RowKey": "a"}
        etag = await storage.ingestions.insert(row)
    async with opened(sas(storage_emulator.connection_string, permissions)) as storage:
        table, lane = storage.ingestions, storage.lanes[Priority.MEDIUM]
        for call in (
            table.insert({**row, "RowKey": str(uuid4())}),
            table.merge(row, etag=None),
            table.put_and_merge({**row, "RowKey": "b"}, row, etag=etag),
            table.delete(row["PartitionKey"], row["RowKey"]),
            lane.put("text"),
            lane.receive(),
        ):
            with suppress(StorageDenied, Changed):
                await call
        assert storage.denied_calls == refused


def test_a_connection_string_does_not_cost_the_import_of_identities() -> None:
    """It takes a third of a second, which a cold start would pay."""
    program = f"""if True:
        import sys
        from ingest_core.storage.azure import AzureStorage
        AzureStorage({DEVELOPMENT_STORAGE!r})
        sys.exit("azure.identity" in sys.modules)"""
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)


async def test_a_wrong_key_is_reported_before_any_row_is_looked_for(storage_emulator: Azurite) -> None:
    """An error while tables are created never looks like a missing row."""
    text = storage_emulator.connection_string
    key = parts_of(text)["AccountKey"]
    async with opened(text.replace(key, key[::-1].lstrip("=") + "==")) as storage:
        with pytest.raises(StorageUnavailable, match=r"^cannot create the table ingestions: storage answered 403 "):
            await storage.ingestions.get("a", "a")


async def test_a_404_while_tables_are_created_says_nothing_of_a_row() -> None:
    """As from an endpoint whose path names another account."""

    async def refuse(_: bytes) -> bytes:
        body = b'{"odata.error":{"code":"ResourceNotFound","message":{"lang":"en-us","value":"no such account"}}}'
        return b"HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (
            len(body),
            body,
        )

    async with serving(refuse) as port, opened(development_storage(port)) as storage:
        with pytest.raises(
            StorageUnavailable, match="cannot create the table ingestions: storage answered 404 Resource"
        ):
            await storage.ingestions.get("a", "a")


async def test_localhost_is_the_emulator_at_any_port(storage_emulator: Azurite) -> None:
    """The table client takes that host for Cosmos DB, which knows other requests."""
    async with opened(storage_emulator.connection_string.replace("127.0.0.1", "localhost")) as storage:
        await use(storage)


async def test_the_emulator_is_asked_by_the_name_that_was_given() -> None:
    """What is written in another way for the table client reaches nobody else."""
    heads = []

    async def note(head: bytes) -> bytes:
        heads.append(head)
        return b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 12\r\n\r\n{"value":[]}'

    async with serving(note) as port:
        storage = AzureStorage(development_storage(port).replace("127.0.0.1", "localhost"), create=False)
        assert [found async for found in storage.ingestions.query({"n": 1})] == []
        await storage.close()
    assert [f"\r\nHost: localhost:{port}\r\n".encode() in head for head in heads] == [True]


async def test_a_proxy_is_not_asked_for_what_is_on_this_machine(storage_emulator: Azurite) -> None:
    """Whether or not NO_PROXY says so."""
    proxies = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), "http://192.0.2.1:9")
    async with opened(storage_emulator.connection_string, **proxies) as storage:
        await use(storage)


@asynccontextmanager
async def serving(answer: Callable[[bytes], Awaitable[bytes]]) -> AsyncIterator[int]:
    """A server that gives the head of each request to `answer`; an empty answer closes the connection."""

    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while text := await answer(await reader.readuntil(b"\r\n\r\n")):
                writer.write(text)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        writer.close()

    async with await asyncio.start_server(say, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


def development_storage(port: int) -> str:
    """The emulator's account, all at one port."""
    return DEVELOPMENT_STORAGE.replace("10001", str(port)).replace("10002", str(port))


async def test_a_proxy_is_asked_for_what_is_elsewhere() -> None:
    """It is named by its variable, as its address may hold a password."""
    asked = []

    async def refuse(head: bytes) -> bytes:
        asked.append(head)
        return b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"

    text = "AccountName=store;AccountKey=c2VjcmV0;EndpointSuffix=example.com"
    async with serving(refuse) as port, opened(text, HTTPS_PROXY=f"http://user:secret@127.0.0.1:{port}") as storage:
        with pytest.raises(StorageUnavailable, match=r"proxy .* answered 407; see HTTPS_PROXY") as caught:
            await storage.lanes[Priority.HIGH].peek()
    assert any(head.startswith(b"CONNECT store.queue.example.com:443 ") for head in asked)
    assert "secret" not in str(caught.value)


async def test_a_proxy_that_is_down_is_not_taken_for_storage() -> None:
    """The address of storage in a message would send people to the wrong place."""
    (port,) = free_ports(1)
    text = "AccountName=store;AccountKey=c2VjcmV0;EndpointSuffix=example.com"
    async with opened(text, HTTPS_PROXY=f"http://user:secret@127.0.0.1:{port}") as storage:
        with pytest.raises(StorageUnavailable, match=r"the proxy .* cannot be reached; see HTTPS_PROXY") as caught:
            await storage.lanes[Priority.HIGH].peek()
    assert "secret" not in str(caught.value)


async def test_a_receive_is_sent_once_even_if_its_connection_breaks() -> None:
    """A second one would take the message behind."""
    heads = []

    async def break_off(head: bytes) -> bytes:
        heads.append(head)
        return b"" if b"visibilitytimeout" in head else NO_MESSAGES

    async with serving(break_off) as port:
        storage = AzureStorage(development_storage(port), create=False)
        lane = storage.lanes[Priority.HIGH]
        assert await lane.peek() == []  # the connection that breaks must be a used one
        with pytest.raises(StorageUnavailable):
            await lane.receive()
        await storage.close()
    assert sum(b"visibilitytimeout" in head for head in heads) == 1


async def test_an_idle_connection_is_not_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Azurite closes it after five seconds: a request that is sent just then would fail."""
    assert transport.IDLE_CONNECTION_SECONDS < 5
    monkeypatch.setattr(transport, "IDLE_CONNECTION_SECONDS", 0.05)
    connections = 0

    async def count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(NO_MESSAGES)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async with await asyncio.start_server(count, "127.0.0.1", 0) as server:
        storage = AzureStorage(development_storage(server.sockets[0].getsockname()[1]), create=False)
        for _ in range(2):
            await storage.lanes[Priority.HIGH].peek()
        assert connections == 1
        await asyncio.sleep(0.1)
        await storage.lanes[Priority.HIGH].peek()
        assert connections == 2
        await storage.close()
