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
    """As Core Tools accept them; inside a string they are text."""
    assert relaxed_json.parse(text) == value


def test_a_file_that_is_not_json_is_named(tmp_path: Path) -> None:
    """With the place of the mistake."""
    (tmp_path / "local.settings.json").write_text('{"Values": {')
    with pytest.raises(Failure, match=r"^local\.settings\.json is not JSON \(.*line 1 column 13"):
        relaxed_json.load(tmp_path / "local.settings.json")


def test_a_file_that_is_not_there_is_nothing(tmp_path: Path) -> None:
    """It may be left out."""
    assert relaxed_json.load(tmp_path / "local.settings.json") is None
