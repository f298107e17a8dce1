"""`dev.py screenshots` takes the README's pictures of a running service: the board and a list, light and dark.

It submits a few lists of its own. For good pictures, run it on a service whose board is empty.
"""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from devtools.browser import HOW_TO_INSTALL, find_browser
from devtools.console import Failure, say

if TYPE_CHECKING:
    from playwright.sync_api import Browser

SIZE = (1200, 900)
PATIENCE_MS = 120_000
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")

LISTS: tuple[tuple[str, str, int], ...] = (
    ("Price changes", "HIGH", 6),
    ("Customers of July", "MEDIUM", 45),
    ("Suppliers", "MEDIUM", 240),
    ("Full refresh", "LOW", 3000),
)
"""Label, lane and number of IDs. The picture shows the page of the second list, after the first has ended."""


def main(words: Sequence[str]) -> int:
    """Submit the lists, wait until one has ended, and write four pictures. Raises `Failure`."""
    parser = argparse.ArgumentParser(prog="dev.py screenshots", description="Take the README's pictures.")
    parser.add_argument("--url", default="http://127.0.0.1:7071", help="of the running service (default: %(default)s)")
    parser.add_argument("--folder", type=Path, default=Path("docs"), help="for the pictures (default: %(default)s)")
    options = parser.parse_args(words)
    path = find_browser()
    if path is None:
        raise Failure(f"There is no browser. {HOW_TO_INSTALL}")
    try:
        from playwright.sync_api import Error, sync_playwright  # noqa: PLC0415 # only this command needs it
    except ImportError:
        raise Failure("Playwright is missing: install it with `pip install playwright`") from None
    arguments = ["--no-sandbox"] if os.name == "posix" and os.geteuid() == 0 else []
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=path, args=arguments)
            _take(browser, url=options.url.rstrip("/"), folder=options.folder)
            browser.close()
    except Error as error:
        raise Failure(f"No pictures were taken. Is the service running (dev.py start)?\n{error.message}") from None
    return 0


def _take(browser: "Browser", *, url: str, folder: Path) -> None:
    width, height = SIZE
    folder.mkdir(parents=True, exist_ok=True)
    shown = _submit(browser, url)
    page = browser.new_page(viewport={"width": width, "height": height})
    for name, address in (("board", "/"), ("list", f"/#/list/{shown}")):
        page.goto(url + address)
        page.locator("figure.plot").wait_for(timeout=PATIENCE_MS)  # the plot appears after two starts
        page.locator(".status.completed").first.wait_for(timeout=PATIENCE_MS)
        for scheme in SCHEMES:
            page.emulate_media(color_scheme=scheme)
            picture = folder / f"{name}-{scheme}.png"
            page.screenshot(path=picture)
            say(f"Wrote {picture}")
    page.close()


def _submit(browser: "Browser", url: str) -> str:
    """Submit the lists; return the ID of the list whose page is in the picture."""
    page = browser.new_page()
    ids = []
    for label, priority, count in LISTS:
        body = {"ids": list(range(1, count + 1)), "priority": priority, "label": label}
        answer = page.request.post(f"{url}/ingest", data=body)
        if not answer.ok:
            raise Failure(f"POST /ingest was answered with {answer.status}: {answer.text()}")
        ids.append(str(answer.json()["ingestion_id"]))
    page.close()
    return ids[1]


if __name__ == "__main__":
    import sys

    try:
        sys.exit(main(sys.argv[1:]))
    except Failure as failure:
        sys.exit(str(failure))
