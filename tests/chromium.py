"""A real browser: Chromium, Chrome, or the Chromium that Playwright installs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, expect, sync_playwright

from tests.services import missing

# Milliseconds for which a test waits for what a page is to show; Playwright's own are few.
DEADLINE = 20_000

OPTIONS = [
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@contextmanager
def running_chromium() -> Iterator[Browser]:
    """Start one without a window; close it with all its pages at the end."""
    program = _program()
    expect.set_options(timeout=DEADLINE)
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=program, args=OPTIONS) as browser,
    ):
        yield browser


def _program() -> str:
    for name in ("chromium", "google-chrome"):
        if path := shutil.which(name):
            return path
    default = Path.home() / ".cache" / "ms-playwright"
    folder = Path(os.environ.get("PLAYWRIGHT_BROWSERS_PATH", default))
    programs = sorted(folder.glob("chromium-*/chrome-linux*/chrome"))
    if not programs:
        missing("Chromium", "apt-get install chromium")
    return str(programs[-1])
