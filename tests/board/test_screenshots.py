"""The command that takes the README's pictures."""

from pathlib import Path

import pytest

from devtools import screenshots
from devtools.browser import HOW_TO_INSTALL, find_browser
from devtools.console import Failure
from tests.board.world import World, summary

pytestmark = pytest.mark.skipif(find_browser() is None, reason=f"There is no browser. {HOW_TO_INSTALL}")


def test_the_board_and_a_list_are_pictured_light_and_dark(world: World, world_url: str, tmp_path: Path) -> None:
    """The lists in them are its own."""
    world.is_busy = True
    world.add(summary(1, status="completed"))
    assert screenshots.main(["--url", world_url, "--folder", str(tmp_path)]) == 0
    names = ["board-dark.png", "board-light.png", "list-dark.png", "list-light.png"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in tmp_path.iterdir())
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 4
    assert "Customers of July" in [one["label"] for one in world.lists.values()]


def test_without_a_service_it_says_what_to_do(tmp_path: Path) -> None:
    """Nothing listens on port 9 of loopback."""
    with pytest.raises(Failure, match=r"dev\.py start"):
        screenshots.main(["--url", "http://127.0.0.1:9", "--folder", str(tmp_path)])
