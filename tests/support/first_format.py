"""An account as the first format's own code has left it, for tests of the upgrade.

The process was killed in the middle of a fetch. Among its lists are a completed one, one with a failed batch and its
retry, one whose second batch has failed twice and was running, and waiting ones in all lanes.
"""

import json
from base64 import b64decode
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ingest_core.ports import Entity, Stored
from ingest_core.storage.memory import Account

FIRST_FORMAT = json.loads((Path(__file__).parents[1] / "core" / "first_format.json").read_text(encoding="utf-8"))
"""`ingestions` by name, the `tables` and `queues`, and what each list's `ids` and `statuses` were."""

WRITTEN_AT = datetime(2026, 1, 1, tzinfo=UTC)


def first_format_rows(table: str) -> list[Entity]:
    """The rows of a table as storage holds them."""
    return [_entity(document) for document in FIRST_FORMAT["tables"][table]]


def restore_first_format(account: Account) -> None:
    """Put all rows and messages into an account."""
    for table in FIRST_FORMAT["tables"]:
        for number, entity in enumerate(first_format_rows(table)):
            key = (str(entity["PartitionKey"]), str(entity["RowKey"]))
            account.table(table)[key] = Stored(entity=entity, etag=f"old-{number}", written_at=WRITTEN_AT)
    for queue, texts in FIRST_FORMAT["queues"].items():
        for text in texts:
            account.put(queue, text)


def _entity(document: dict[str, Any]) -> Entity:
    return {name: b64decode(value["base64"]) if isinstance(value, dict) else value for name, value in document.items()}
