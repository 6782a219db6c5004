"""The blocks of Python, and the commands of `manage.py`, on the documentation's site."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.blocks import Block, all_blocks
from tests.docs.conftest import SITE, Site
from tests.docs.registry import EXECUTED, name_of
from tests.docs.shell import commands
from tests.packaging.guides import run
from tests.ports import HOST
from tests.services import missing

# These ask, or serve until they are stopped, make files, or name other servers than the site's:
# tests of the guides that need them run them.
LONG = {"createsuperuser", "realtime", "runserver", "startapp"}

pytestmark = pytest.mark.timeout(300)


def test_blocks(site: Site, tmp_path: Path) -> None:
    """Run them all, and the tests among them, in a process whose Django is that of the site."""
    for block in all_blocks("python"):
        if "def test_" in block.code:
            (tmp_path / f"snippet_{block.page.stem}_{block.line}.py".replace("-", "_")).write_text(
                block.code
            )
    env = {
        **{name: value for name, value in site.env.items() if name != "REDIS_URL"},
        "MYSITE_ADDRESS": f"{HOST}:{site.port}",
        "MYSITE_FILES": str(tmp_path),
    }
    command = (sys.executable, "-m", "pytest", "-q", "-c", SITE / "pytest.ini", "--rootdir", SITE)
    command = (*command, SITE / "checks", tmp_path)
    done = subprocess.run(command, cwd=SITE, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_blocks_have_tests() -> None:
    assert any("def test_" in block.code for block in all_blocks("python"))


@pytest.mark.parametrize("kind", ["site", "daphne_site"])
def test_first_messages_of_plain_websockets(kind: str, request: pytest.FixtureRequest) -> None:
    """The recipe of "Connect without a Socket.IO library", also with a token that is wrong."""
    site: Site = request.getfixturevalue(kind)
    (script,) = (
        block.code for block in all_blocks("python") if '"authenticate", "args"' in block.code
    )
    script = script.replace("127.0.0.1:8000", f"{HOST}:{site.port}")
    printed = run(sys.executable, "-c", script, cwd=SITE)
    assert printed.endswith("{'ack': 1, 'args': [{'ok': True}]}\n")
    wrong = script.replace('"args": ["..."]', '"args": ["guessed"]')
    with pytest.raises(AssertionError, match="received 1000"):
        run(sys.executable, "-c", wrong, cwd=SITE)
    assert "Traceback" not in site.log


def _managed() -> list[tuple[Block, list[str]]]:
    return [
        (block, command[2:])
        for block in all_blocks("sh")
        for command in commands(block.code)
        if command[:2] == ["python", "manage.py"]
        and command[2] not in LONG
        and name_of(block.page) not in EXECUTED
    ]


@pytest.mark.parametrize(
    ("block", "command"), _managed(), ids=[f"{block.id} {line[0]}" for block, line in _managed()]
)
def test_manage(site: Site, block: Block, command: list[str]) -> None:
    site.manage(*command)


def _curls() -> list[Block]:
    return [block for block in all_blocks("sh") if block.code.startswith("curl ")]


@pytest.mark.parametrize("block", _curls(), ids=lambda block: block.id)
def test_curl(site: Site, block: Block) -> None:
    if shutil.which("curl") is None:
        missing("curl", "apt-get install curl")
    script = block.code.replace("127.0.0.1:8000", f"{HOST}:{site.port}")
    env = {**site.env, "SESSION": site.session, "no_proxy": "*"}
    done = subprocess.run(
        ["bash", "-ec", script], env=env, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith('{"count":'), shlex.join(["bash", "-ec", script])
