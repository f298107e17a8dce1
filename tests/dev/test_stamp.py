from pathlib import Path

import pytest

from devtools import stamp


@pytest.fixture
def sources(tmp_path: Path) -> list[Path]:
    """Two files that a step works from."""
    files = [tmp_path / "one", tmp_path / "two"]
    for file in files:
        file.write_text("content")
    return files


def test_a_stamp_is_fresh_until_the_content_of_a_source_changes(tmp_path: Path, sources: list[Path]) -> None:
    """A new modification time alone is not a change."""
    mark = tmp_path / "mark"
    assert not stamp.is_fresh(mark, sources)
    with stamp.renewed(mark, sources):
        pass
    assert stamp.is_fresh(mark, sources)
    sources[1].touch()
    assert stamp.is_fresh(mark, sources)
    sources[1].write_text("other content")
    assert not stamp.is_fresh(mark, sources)


def test_a_step_that_failed_leaves_no_stamp(tmp_path: Path, sources: list[Path]) -> None:
    """An earlier stamp is removed too, because nobody knows what the failed step has changed."""
    mark = tmp_path / "mark"
    with stamp.renewed(mark, sources):
        pass
    with pytest.raises(KeyboardInterrupt), stamp.renewed(mark, sources):
        raise KeyboardInterrupt
    assert not stamp.is_fresh(mark, sources)


def test_content_that_moves_between_files_is_a_change(tmp_path: Path, sources: list[Path]) -> None:
    """The files are digested one by one."""
    mark = tmp_path / "mark"
    with stamp.renewed(mark, sources):
        pass
    sources[0].write_text("contentcon")
    sources[1].write_text("tent")
    assert not stamp.is_fresh(mark, sources)
