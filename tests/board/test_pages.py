"""Tests of the files behind the board: how they are served, and what is in them."""

import re
from pathlib import Path

import pytest

from ingest_core.api import pages
from ingest_core.api.messages import Request
from ingest_core.api.pages import BOARD, DOCS, answer_page

FOLDER = Path(pages.__file__).parent / "pages"
FILES = sorted(path.name for path in FOLDER.iterdir())


@pytest.mark.parametrize("name", FILES)
def test_every_file_is_served_with_its_type_and_its_policy(name: str) -> None:
    """Nothing may be loaded from elsewhere, framed or sniffed."""
    answer = answer_page(name, Request())
    assert (answer.status, answer.body) == (200, (FOLDER / name).read_text(encoding="utf-8"))
    kinds = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
    assert answer.content_type == kinds[name.rsplit(".", maxsplit=1)[-1]]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    assert "http" not in policy


def test_a_file_that_the_caller_has_is_not_sent_again() -> None:
    """Also when a proxy has weakened the tag."""
    etag = answer_page(BOARD, Request()).headers["ETag"]
    for given in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        answer = answer_page(BOARD, Request(headers={"if-none-match": given}))
        assert (answer.status, answer.body, answer.headers["ETag"]) == (304, "", etag)
    assert answer_page(DOCS, Request(headers={"if-none-match": etag})).status == 200


@pytest.mark.parametrize("name", ["", "missing.js", "../pages.py", "..%2fpages.py", "/etc/passwd", "board.html/", "."])
def test_nothing_else_is_served(name: str) -> None:
    """Only the names of the files themselves are looked up."""
    answer = answer_page(name, Request())
    assert (answer.status, answer.content_type) == (404, "application/problem+json")


@pytest.mark.parametrize("method", ["POST", "OPTIONS", "DELETE"])
def test_a_file_is_read_and_nothing_else(method: str) -> None:
    """The answer says which methods there are."""
    answer = answer_page(BOARD, Request(method=method))
    assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize("name", FILES)
def test_the_files_are_short_and_load_nothing_from_elsewhere(name: str) -> None:
    """They become elements without ever being parsed as markup."""
    text = (FOLDER / name).read_text(encoding="utf-8")
    assert text.count("\n") <= 300
    assert not re.search(
        r"innerHTML|outerHTML\s*=|insertAdjacentHTML|document\.write|\beval\(|new Function|style=", text
    )
    assert not re.search(r"https?://(?!www\.w3\.org/)", text)


def test_every_file_that_a_file_names_is_there() -> None:
    """A misspelt import would leave the page empty."""
    named = {
        name
        for path in FOLDER.iterdir()
        for name in re.findall(r'(?:from "\./|/pages/)([\w.]+)"', path.read_text(encoding="utf-8"))
    }
    assert named <= set(FILES)
    assert set(FILES) - named == {BOARD, DOCS}
