"""The browser that the board's tests and pictures use: Chromium, or Google Chrome, from PATH."""

import shutil

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
HOW_TO_INSTALL = "Debian, Ubuntu: apt install chromium"


def find_browser() -> str | None:
    """Its path, or None where there is none."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)
