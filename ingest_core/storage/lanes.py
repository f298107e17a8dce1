"""The three lanes: one queue per priority, with one message per ingestion.

A message stays in its queue until its ingestion has ended, so a crash never costs an ingestion its place. It is only
peeked at. It is received only to be deleted, at the front, by the owner of the gate: a received message that reappears
goes to the back of the queue.
"""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID

from ingest_core.errors import NotFound
from ingest_core.models import Priority
from ingest_core.ports import Message, Queue
from ingest_core.storage.rows import FORMAT


@dataclass(frozen=True, kw_only=True)
class Ticket:
    """What a message says: this ingestion waits in this lane. A younger generation of the ingestion makes it stale."""

    ingestion_id: UUID
    generation: int


class Lanes:
    """What the service does with its queues. Every method raises `StorageUnavailable`."""

    def __init__(self, queues: Mapping[Priority, Queue]) -> None:
        self._queues = queues

    async def put(self, lane: Priority, ingestion_id: UUID, generation: int = 0) -> None:
        """Add an ingestion at the back of a lane."""
        text = json.dumps({"format": FORMAT, "ingestion_id": str(ingestion_id), "generation": generation})
        await self._queues[lane].put(text)

    async def peek(self, lane: Priority) -> Sequence[Message]:
        """The front messages of one lane in the order of the queue, at most 32."""
        return await self._queues[lane].peek()

    async def remove(self, lane: Priority, message: Message) -> bool:
        """Delete the message if it is at the front; call it only as the owner of a taken gate."""
        queue = self._queues[lane]
        received = await queue.receive()
        if received is None:
            return False
        with suppress(NotFound):  # the call was late: the message has become visible again, and a later look sees it
            if received.message_id == message.message_id:
                await queue.delete(received)
                return True
            await queue.release(received)
        return False

    async def put_poison(self, lane: Priority, text: str) -> None:
        """Add a message to the lane's poison queue."""
        await self._queues[lane].put_poison(text)

    async def poison_counts(self) -> dict[Priority, int]:
        """The approximate number of messages in the poison queue of each lane."""
        return {lane: await queue.poison_count() for lane, queue in self._queues.items()}


def oldest_first(messages: Sequence[Message]) -> list[Message]:
    """Peeked messages in the order in which they are served.

    The queue service's clock has whole seconds, so ties keep their position. Azurite's queues are in this order
    already. Azure promises no order; the sort restores it among the peeked messages.
    """
    return sorted(messages, key=lambda message: message.inserted_on)


def ticket_of(message: Message) -> Ticket | None:
    """What a message says, or None if it is not one of ours. Messages of format 1 have no generation."""
    try:
        fields = json.loads(message.text)
        generation = fields.get("generation", 0)
        if fields["format"] not in (1, FORMAT) or type(generation) is not int:
            return None
        return Ticket(ingestion_id=UUID(fields["ingestion_id"]), generation=generation)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
