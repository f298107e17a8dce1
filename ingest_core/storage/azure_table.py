"""A table of Azure Storage (or Azurite)."""

from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import Any

from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError
from azure.data.tables import TableEntity, UpdateMode
from azure.data.tables.aio import TableClient

from ingest_core.errors import NotFound
from ingest_core.ports import Entity, Stored
from ingest_core.storage.azure_calls import Calls
from ingest_core.storage.azure_entities import SDK_ERRORS, drop_wrong_types

QUERY_SECONDS = 10.0
"""A page of a query may take longer: the service looks for five seconds before it answers with what it has found
(https://learn.microsoft.com/rest/api/storageservices/query-timeout-and-pagination)."""

_NO_ECHO = {"Prefer": "return-no-content"}
"""Otherwise an insert is answered with the whole row, which takes half of its time for 100 000 IDs."""


class AzureTable:
    """One table."""

    def __init__(self, calls: Calls, client: TableClient) -> None:
        self._calls = calls
        self._name = f"the table {client.table_name}"
        self.client = client

    async def insert(self, entity: Entity) -> str:
        async with self._calls.call(f"insert into {self._name}"):
            answer = await self.client.create_entity(entity, headers=_NO_ECHO)
        return str(answer["etag"])

    async def get(self, partition_key: str, row_key: str, *, select: Sequence[str] = ()) -> Stored:
        async with self._calls.call(f"read {self._name}"):
            selected = _with_timestamp(select)
            try:
                entity = await self.client.get_entity(partition_key, row_key, select=selected)
            except SDK_ERRORS:
                entity = await self.client.get_entity(
                    partition_key, row_key, select=selected, raw_response_hook=drop_wrong_types
                )
        return _stored(entity)

    async def merge(self, entity: Entity, *, etag: str | None) -> str:
        async with self._calls.call(f"merge into {self._name}"):
            answer = await self.client.update_entity(
                entity, UpdateMode.MERGE, etag=etag, match_condition=_condition(etag)
            )
        return str(answer["etag"])

    async def replace(self, entity: Entity, *, etag: str | None = None) -> str:
        async with self._calls.call(f"write to {self._name}"):
            if etag is None:
                answer = await self.client.upsert_entity(entity, UpdateMode.REPLACE)
            else:
                answer = await self.client.update_entity(
                    entity, UpdateMode.REPLACE, etag=etag, match_condition=_condition(etag)
                )
        return str(answer["etag"])

    async def put_and_merge(self, put: Entity, merged: Entity, *, etag: str) -> str:
        condition = {"mode": UpdateMode.MERGE, "etag": etag, "match_condition": _condition(etag)}
        async with self._calls.call(f"write to {self._name}"):
            _, answer = await self.client.submit_transaction(
                [("upsert", put, {"mode": UpdateMode.REPLACE}), ("update", merged, condition)]
            )
        return str(answer["etag"])

    async def delete(self, partition_key: str, row_key: str, *, etag: str | None = None) -> None:
        answers: list[Any] = []  # the SDK's responses
        async with self._calls.call(f"delete rows of {self._name}"):
            await self.client.delete_entity(
                partition_key,
                row_key,
                etag=etag,
                match_condition=_condition(etag),
                raw_response_hook=answers.append,
            )
            answer = answers[-1].http_response
            if answer.status_code == 404:  # the client ignores it, even if the whole table is missing
                raise HttpResponseError(message=answer.text(), response=answer)

    async def delete_many(self, partition_key: str, row_keys: Sequence[str]) -> None:
        rows = [{"PartitionKey": partition_key, "RowKey": row_key} for row_key in dict.fromkeys(row_keys)]
        if not rows:
            return
        try:
            async with self._calls.call(f"delete rows of {self._name}"):
                await self.client.submit_transaction([("delete", row) for row in rows])
        except NotFound:  # a row does not exist, so none was deleted
            for row in rows:
                with suppress(NotFound):
                    await self.delete(row["PartitionKey"], row["RowKey"])

    async def query(
        self,
        equal: Entity,
        *,
        row_keys: tuple[str, str] | None = None,
        partition_keys: tuple[str, str] | None = None,
        select: Sequence[str] = (),
        page_size: int = 1000,
    ) -> AsyncIterator[Stored]:
        conditions = [f"{name} eq {_literal(value)}" for name, value in equal.items()]
        for name, keys in (("PartitionKey", partition_keys), ("RowKey", row_keys)):
            if keys:
                conditions += [f"{name} ge {_literal(keys[0])}", f"{name} lt {_literal(keys[1])}"]
        query = partial(
            self.client.query_entities,
            " and ".join(conditions),
            select=_with_timestamp(select),
            results_per_page=page_size,
        )
        pages: Any = query().by_page()  # its annotation knows no `continuation_token`
        token = None
        while True:
            async with self._calls.call(f"query {self._name}", QUERY_SECONDS):
                try:
                    page = await anext(pages)
                except StopAsyncIteration:
                    return
                except SDK_ERRORS:
                    pages = query(raw_response_hook=drop_wrong_types).by_page(token)
                    page = await anext(pages)
                entities = [entity async for entity in page]
                token = pages.continuation_token
            for entity in entities:
                yield _stored(entity)


def _condition(etag: str | None) -> MatchConditions:
    return MatchConditions.Unconditionally if etag is None else MatchConditions.IfNotModified


def _with_timestamp(select: Sequence[str]) -> list[str] | None:
    return [*select, "Timestamp"] if select else None


def _stored(entity: TableEntity) -> Stored:
    written_at = entity.metadata["timestamp"] or datetime.now(UTC)
    return Stored(entity=entity, etag=str(entity.metadata["etag"]), written_at=written_at)


def _literal(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return str(value)
    return "'{}'".format(str(value).replace("'", "''"))
