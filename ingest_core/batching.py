"""Cuts a list of IDs into batches, which are consecutive slices. Each batch has an ID that is computed, not stored."""

from collections.abc import Sequence
from uuid import UUID

IDS_PER_PROPERTY = 16_384
"""A binary property of a table entity has at most 64 KiB, and an ID takes four bytes."""

_LOW_32_BITS = (1 << 32) - 1
_VERSION_AND_VARIANT = (0xF << 76) | (0b11 << 62)
_VERSION_8_RFC_VARIANT = (0x8 << 76) | (0b10 << 62)


def batches(ids: Sequence[int], size: int) -> list[Sequence[int]]:
    """Consecutive slices of `size` IDs; the last may be shorter."""
    return [ids[start : start + size] for start in range(0, len(ids), size)]


def batch_id(ingestion_id: UUID, index: int) -> UUID:
    """The batch's UUIDv8 (RFC 9562, section 5.8): the ingestion's leading 96 bits, then the index in the last 32."""
    leading = ingestion_id.int & ~_LOW_32_BITS & ~_VERSION_AND_VARIANT
    return UUID(int=leading | _VERSION_8_RFC_VARIANT | index)


def batch_id_prefix(ingestion_id: UUID) -> str:
    """The beginning of all batch IDs of an ingestion as text. The index follows as eight hexadecimal digits.

    To format 33 334 batch IDs this way takes a tenth of the time that the same number of `UUID` objects takes.
    """
    return str(batch_id(ingestion_id, 0))[:-8]


def chunk_size(batch_size: int) -> int:
    """IDs per stored property: the largest multiple of the batch size that fits, so that no batch is split."""
    return IDS_PER_PROPERTY // batch_size * batch_size
