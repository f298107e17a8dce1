"""Finds the browser for the board's tests and pictures: Chromium or Google Chrome on PATH."""

import shutil

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
HOW_TO_INSTALL = "Debian, Ubuntu: apt install chromium"


def find_browser() -> str | None:
    """The browser's path, or None if there is no browser."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)
