"""The three lanes: one queue per priority, with one message per ingestion.

A message stays in its queue until its ingestion has finished, so a crash never costs an ingestion its place. It is only
peeked at; received only to be deleted, at the front, by the holder of the gate: a received message that reappears goes
to the back of the line.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID

from ingest_core.errors import NotFound
from ingest_core.models import Priority
from ingest_core.ports import Message, Queue
from ingest_core.rows import FORMAT

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Glimpse:
    """The highest lane that has messages, and its front messages as they lie in the queue."""

    lane: Priority
    messages: Sequence[Message]

    def in_order(self) -> list[tuple[int, Message]]:
        """The messages with their positions, oldest first.

        The queue service's clock has whole seconds, so ties keep their position. Azurite's queues are in this order
        already; Azure's promise none, and the sort mends what is among the peeked.
        """
        return sorted(enumerate(self.messages), key=lambda numbered: numbered[1].inserted_on)


class Lanes:
    """What the service does with its queues. Every method raises `StorageUnavailable`."""

    def __init__(self, queues: Mapping[Priority, Queue]) -> None:
        self._queues = queues

    async def put(self, lane: Priority, ingestion_id: UUID) -> None:
        """Add an ingestion at the back of a lane."""
        await self._queues[lane].put(json.dumps({"format": FORMAT, "ingestion_id": str(ingestion_id)}))

    async def peek(self, lane: Priority) -> Sequence[Message]:
        """The front messages of one lane."""
        return await self._queues[lane].peek()

    async def look(self) -> Glimpse | None:
        """The highest lane that is not empty; one call for every lane looked into."""
        for lane in Priority:
            if messages := await self.peek(lane):
                return Glimpse(lane=lane, messages=messages)
        return None

    async def remove_front(self, lane: Priority, message: Message) -> None:
        """Delete the message if it is at the front; call it only while holding the gate."""
        queue = self._queues[lane]
        received = await queue.receive()
        if received is None:
            return
        with suppress(NotFound):  # a late call: the message has become visible again, and is found again
            if received.message_id == message.message_id:
                await queue.delete(received)
            else:
                await queue.release(received)

    async def copy_to_poison(self, lane: Priority, message: Message) -> None:
        """Copy a message that is not ours, word for word, before it is removed."""
        log.warning("message.foreign lane=%s message_id=%s moved_to=poison_queue", lane, message.message_id)
        await self._queues[lane].put_poison(message.text)

    async def put_poison(self, lane: Priority, fields: Mapping[str, object]) -> None:
        """Report what failed for good."""
        await self._queues[lane].put_poison(json.dumps({"format": FORMAT, **fields}))


def ingestion_of(message: Message) -> UUID | None:
    """The ingestion that a message stands for, or None when it is not one of ours."""
    try:
        fields = json.loads(message.text)
        if fields["format"] != FORMAT:
            return None
        return UUID(fields["ingestion_id"])
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
