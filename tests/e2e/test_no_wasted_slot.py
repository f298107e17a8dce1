"""With work waiting every slot is used, and none before its time."""

from pathlib import Path

import pytest

from devtools.azurite import Azurite
from tests.soak.run import every_slot

SLOTS = 20


@pytest.mark.alone
def test_every_slot_is_used(kind: str, storage: Azurite, tmp_path: Path) -> None:
    """Over changes of lane and ingestion, while each batch takes two and a half intervals: 99.5 % of them at least."""
    verdict = every_slot(kind, tmp_path, storage, slots=SLOTS)
    assert not verdict.problems(), verdict.text()
    assert len(verdict.gaps_at_starter) == SLOTS
    assert verdict.slots_used >= 0.995, verdict.text()
