"""A step is skipped exactly while the files that it worked from are the ones it last succeeded with."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path


def fresh(stamp: Path, sources: Sequence[Path]) -> bool:
    """Whether the step has succeeded with just these files."""
    return stamp.is_file() and stamp.read_text(encoding="ascii", errors="replace") == _digest(sources)


@contextmanager
def renewed(stamp: Path, sources: Sequence[Path]) -> Iterator[None]:
    """Around the step: a step that fails or is cut off leaves no stamp."""
    stamp.unlink(missing_ok=True)
    digest = _digest(sources)
    yield
    stamp.write_text(digest, encoding="ascii")


def _digest(sources: Sequence[Path]) -> str:
    total = hashlib.sha256()
    for source in sources:
        total.update(hashlib.sha256(source.read_bytes()).digest())
    return total.hexdigest()
