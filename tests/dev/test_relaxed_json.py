from pathlib import Path
from typing import Any

import pytest

from devtools import relaxed_json
from devtools.console import Failure


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": 1, }', {"a": 1}),
        ("[1, 2,\n]", [1, 2]),
        ('{"a": 1 // one\n}', {"a": 1}),
        ('{/* one */ "a": /* , } */ 1}', {"a": 1}),
        ('{"a": 1, // the last\n}', {"a": 1}),
        ('{"a": "http://x/*y*/,}"}', {"a": "http://x/*y*/,}"}),
        (r'{"a": "\\", /* " */ "b": "\",}"}', {"a": "\\", "b": '",}'}),
    ],
)
def test_comments_and_trailing_commas_are_accepted(text: str, value: Any) -> None:
    """Core Tools accept them too. Inside a string they are text."""
    assert relaxed_json.parse(text) == value


def test_a_file_that_is_not_json_is_named(tmp_path: Path) -> None:
    """The message also contains the line and the column."""
    (tmp_path / "local.settings.json").write_text('{"Values": {')
    with pytest.raises(Failure, match=r"^local\.settings\.json is not JSON \(.*line 1 column 13"):
        relaxed_json.load(tmp_path / "local.settings.json")


def test_a_missing_file_gives_none(tmp_path: Path) -> None:
    """The file is optional."""
    assert relaxed_json.load(tmp_path / "local.settings.json") is None
