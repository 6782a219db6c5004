"""A real browser: Chromium, Chrome, or the Chromium that Playwright installs."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Playwright, sync_playwright

from tests.services import missing

OPTIONS = [
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@contextmanager
def running_chromium() -> Iterator[Browser]:
    """Start one without a window; close it with all its pages at the end."""
    with sync_playwright() as playwright:
        program = _program(playwright)
        with playwright.chromium.launch(executable_path=program, args=OPTIONS) as browser:
            yield browser


def _program(playwright: Playwright) -> str:
    for name in ("chromium", "google-chrome"):
        if path := shutil.which(name):
            return path
    own = playwright.chromium.executable_path
    if not Path(own).exists():
        missing("Chromium", "apt-get install chromium")
    return own
