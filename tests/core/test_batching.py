"""Tests of the cut into batches and of the computed batch IDs."""

from uuid import UUID, uuid4

from hypothesis import given
from hypothesis import strategies as st

from ingest_core.batching import IDS_PER_PROPERTY, batch_id, batch_id_prefix, batches, chunk_size


def test_batching_logic() -> None:
    """Five IDs make a batch of three and a batch of two."""
    assert batches([1, 2, 3, 4, 5], 3) == [[1, 2, 3], [4, 5]]


@given(st.lists(st.integers(), max_size=50), st.integers(1, 10))
def test_batches_keep_every_id_in_order(ids: list[int], size: int) -> None:
    """Nothing is lost, doubled or moved, and only the last batch may be shorter."""
    cut = batches(ids, size)
    assert [item for batch in cut for item in batch] == ids
    assert all(len(batch) == size for batch in cut[:-1])


@given(st.uuids(), st.integers(0, 2**32 - 1))
def test_a_batch_id_is_a_uuid_of_version_8(ingestion_id: UUID, index: int) -> None:
    """Version 8 and the RFC's variant, with the index in the last 32 bits."""
    made = batch_id(ingestion_id, index)
    assert (made.version, made.variant) == (8, "specified in RFC 4122")
    assert made.int & (2**32 - 1) == index


def test_a_batch_id_begins_with_the_text_of_its_ingestion() -> None:
    """A person sees which ingestion a batch belongs to."""
    ingestion_id = uuid4()
    assert str(batch_id(ingestion_id, 5))[:8] == str(ingestion_id)[:8]


@given(st.uuids(), st.integers(0, 10**6))
def test_the_prefix_and_the_index_make_the_batch_id(ingestion_id: UUID, index: int) -> None:
    """The quick way gives the same text as the UUID."""
    assert f"{batch_id_prefix(ingestion_id)}{index:08x}" == str(batch_id(ingestion_id, index))


@given(st.integers(1, 100))
def test_no_batch_straddles_two_properties(size: int) -> None:
    """A property holds whole batches, and no more IDs than fit."""
    assert chunk_size(size) % size == 0
    assert IDS_PER_PROPERTY - size < chunk_size(size) <= IDS_PER_PROPERTY
