"""A lane's queue in Azure Storage (or Azurite), with its poison queue."""

from collections.abc import Sequence
from datetime import UTC, datetime

from azure.storage.queue.aio import QueueClient

from ingest_core.ports import PEEKED, Message, Received
from ingest_core.storage.azure_calls import Calls

VISIBILITY_SECONDS = 2
"""A received message is deleted or released at once. If its receiver dies, it is soon visible again."""

NEVER = -1
"""The time to live of a message that never expires."""


class AzureQueue:
    """One lane's queue and its poison queue."""

    def __init__(self, calls: Calls, client: QueueClient, poison: QueueClient) -> None:
        self._calls = calls
        self._client = client
        self._poison = poison
        self._name = f"the queue {client.queue_name}"
        self._poison_name = f"the queue {poison.queue_name}"

    async def put(self, text: str) -> None:
        async with self._calls.call(f"put a message into {self._name}"):
            await self._client.send_message(text, time_to_live=NEVER)

    async def put_poison(self, text: str) -> None:
        async with self._calls.call(f"put a message into {self._poison_name}"):
            await self._poison.send_message(text, time_to_live=NEVER)

    async def peek(self) -> Sequence[Message]:
        async with self._calls.call(f"read {self._name}"):
            messages = await self._client.peek_messages(max_messages=PEEKED)
        return [
            Message(message_id=message.id, text=message.content, inserted_on=_utc(message.inserted_on))
            for message in messages
        ]

    async def receive(self) -> Received | None:
        # Sent once: if the answer is lost, a second try would receive the next message and move it to the back.
        async with self._calls.call(f"receive a message from {self._name}"):
            message = await self._client.receive_message(visibility_timeout=VISIBILITY_SECONDS, retry_total=0)
        if message is None:
            return None
        return Received(
            message_id=message.id,
            text=message.content,
            inserted_on=_utc(message.inserted_on),
            pop_receipt=message.pop_receipt or "",
        )

    async def delete(self, message: Received) -> None:
        async with self._calls.call(f"delete a message from {self._name}"):
            await self._client.delete_message(message.message_id, message.pop_receipt)

    async def release(self, message: Received) -> None:
        async with self._calls.call(f"release a message of {self._name}"):
            await self._client.update_message(message.message_id, message.pop_receipt, visibility_timeout=0)

    async def count(self) -> int:
        """Return about how many messages the queue has, hidden ones included."""
        async with self._calls.call(f"count {self._name}"):
            properties = await self._client.get_queue_properties()
        return properties.approximate_message_count or 0

    async def poison_count(self) -> int:
        async with self._calls.call(f"count {self._poison_name}"):
            properties = await self._poison.get_queue_properties()
        return properties.approximate_message_count or 0

    async def poison_texts(self) -> list[str]:
        """Return the texts of the front messages of the poison queue, at most `PEEKED`."""
        async with self._calls.call(f"read {self._poison_name}"):
            messages = await self._poison.peek_messages(max_messages=PEEKED)
        return [message.content for message in messages]


def _utc(moment: datetime | None) -> datetime:
    return moment or datetime.now(UTC)
