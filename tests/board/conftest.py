"""A real browser in front of the board: Debian's Chromium, driven by Playwright."""

import os
import subprocess
from collections.abc import Callable, Iterator
from functools import cache

import pytest

from devtools.browser import HOW_TO_INSTALL, find_browser
from tests.board.world import World, serving

pytest.importorskip("playwright", reason="Playwright is missing: pip install playwright")

from playwright.sync_api import Browser, ConsoleMessage, Error, Page, sync_playwright

WAIT_MS = 10_000

Open = Callable[..., Page]


@cache
def axe_source() -> str | None:
    """Return the text of axe-core, wherever Node finds it."""
    command = ["node", "-p", "require('fs').readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8')"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    return found.stdout if found.returncode == 0 else None


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for the tests of a module. It ends with them, because it keeps an event loop running."""
    path = find_browser()
    if path is None:
        pytest.skip(f"There is no browser. {HOW_TO_INSTALL}")
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=path, args=arguments)
        yield found
        found.close()


@pytest.fixture
def world() -> World:
    """A scripted service, for the states that a real one does not show on demand."""
    return World()


@pytest.fixture
def world_url(world: World) -> Iterator[str]:
    """Where the scripted service is."""
    with serving(world) as url:
        yield url


@pytest.fixture
def board_url(world_url: str) -> str:
    """The service that the happy paths run against. This is the only place that chooses it."""
    return world_url


@pytest.fixture(scope="module")
def common_page(browser: Browser) -> Iterator[Page]:
    """A page for the tests of a module that need no other options: a page of their own costs each a second."""
    context = browser.new_context()
    yield context.new_page()
    context.close()


@pytest.fixture
def open_page(browser: Browser, common_page: Page, board_url: str) -> Iterator[Open]:
    """Open a page of the board. The test fails if a script fails, or if the page breaks its own security policy."""
    contexts, faults = [], []

    def note(text: str) -> None:
        if "Failed to load resource" not in text:  # the browser's own words for an error answer
            faults.append(text)

    def note_error(error: Error) -> None:
        note(str(error))

    def note_message(message: ConsoleMessage) -> None:
        if message.type == "error":
            note(message.text)

    def open_one(address: str = "/", *, has_clock: bool = False, **options: object) -> Page:
        page = common_page
        if options or has_clock:
            contexts.append(browser.new_context(**options))
            page = contexts[-1].new_page()
            page.on("pageerror", note_error)
            page.on("console", note_message)
        if has_clock:
            page.clock.install()
        page.set_default_timeout(WAIT_MS)
        page.goto(board_url + address)
        return page

    common_page.on("pageerror", note_error)
    common_page.on("console", note_message)
    yield open_one
    for context in contexts:
        context.close()
    common_page.goto("about:blank")
    common_page.remove_listener("pageerror", note_error)
    common_page.remove_listener("console", note_message)
    assert faults == []
