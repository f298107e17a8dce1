"""A stamp file lets a set-up step be skipped while its source files are the same as when it last succeeded."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path


def is_fresh(stamp: Path, sources: Sequence[Path]) -> bool:
    """Whether the step has succeeded with exactly these files."""
    return stamp.is_file() and stamp.read_text(encoding="ascii", errors="replace") == _digest(sources)


@contextmanager
def renewed(stamp: Path, sources: Sequence[Path]) -> Iterator[None]:
    """Write the stamp after the step in this block. A step that fails or is interrupted leaves no stamp."""
    stamp.unlink(missing_ok=True)
    digest = _digest(sources)
    yield
    stamp.write_text(digest, encoding="ascii")


def _digest(sources: Sequence[Path]) -> str:
    total = hashlib.sha256()
    for source in sources:
        total.update(hashlib.sha256(source.read_bytes()).digest())
    return total.hexdigest()
