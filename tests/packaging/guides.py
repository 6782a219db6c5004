"""Executing what the guides say."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.docs.blocks import blocks_of
from tests.processes import ROOT

GUIDES = ROOT / "docs" / "how-to"

# What a shell of the site's developer has: nothing of this repository.
ENV = {
    name: value
    for name, value in os.environ.items()
    if name not in ("DJANGO_SETTINGS_MODULE", "PYTHONPATH")
}


def run(*command: str | Path, cwd: Path, env: dict[str, str] = ENV) -> str:
    """Return what a command printed; fail with it where the command failed."""
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def write_blocks(guide: Path, site: Path) -> int:
    """Write a guide's Python code into a site's files; return how many blocks there are."""
    blocks = [block for block in blocks_of(guide) if block.language == "python" and block.path]
    for block in blocks:
        target = site / str(block.path)
        # Settings are added to those of the site; the other files are the guide's own.
        old = target.read_text() if target.name == "settings.py" else ""
        target.write_text(old + "\n" + block.code)
    return len(blocks)


def fenced(guide: Path, language: str) -> list[str]:
    """Return a guide's code in a language, without indentation."""
    return [block.code for block in blocks_of(guide) if block.language == language]
