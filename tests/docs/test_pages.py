"""The blocks of JavaScript, in Node with the official client, and those of HTML, in Chromium."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.chromium import running_chromium
from tests.clients.browser.conftest import DEADLINE
from tests.clients.javascript import FOLDER, require_client
from tests.docs.blocks import Block, all_blocks, check_output
from tests.docs.conftest import Site
from tests.docs.registry import is_executed_elsewhere

HERE = Path(__file__).parent

JAVASCRIPT = [block for block in all_blocks("js") if not is_executed_elsewhere(block)]
HTML = [block for block in all_blocks("html") if not is_executed_elsewhere(block)]


@pytest.mark.parametrize("block", JAVASCRIPT, ids=lambda block: block.id)
def test_javascript(site: Site, tmp_path: Path, block: Block) -> None:
    require_client()
    package = tmp_path / "node_modules" / "socket.io-client"
    package.mkdir(parents=True)
    shutil.copy(HERE / "client.mjs", package)
    (package / "package.json").write_text(json.dumps({"type": "module", "main": "client.mjs"}))
    shutil.copy(HERE / "run.mjs", tmp_path)
    (tmp_path / "block.mjs").write_text(block.code)
    env = {
        **site.env,
        "CLIENT_FOLDER": f"{FOLDER}/",
        "SITE_URL": site.url,
        "SESSION": site.session,
    }
    done = subprocess.run(
        ["node", "run.mjs", "block.mjs"],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    check_output(block, done.stdout, "console.log", "//")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium for all pages."""
    with running_chromium() as browser:
        yield browser


@pytest.mark.parametrize("block", HTML, ids=lambda block: block.id)
def test_html(site: Site, browser: Browser, block: Block) -> None:
    """The page hears from the site, and logs it as all of these pages do."""
    name = f"{block.page.stem}-{block.line}"
    (site.files / f"{name}.html").write_text(block.code)
    page = browser.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    expected = block.code.count("console.log")
    with page.expect_console_message(
        lambda message: message.text == ["I'm server", "Hello, Ada"][expected - 1],
        timeout=DEADLINE,
    ):
        page.goto(f"{site.url}/pages/{name}/")
    page.close()
    assert errors == []
