"""Executing what the guides say."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from tests.processes import ROOT

GUIDES = ROOT / "docs" / "how-to"

# Code that starts with the name of its file, as "# mysite/settings.py".
BLOCK = re.compile(r"^ *```python\n(?P<code> *# (?P<path>\S+\.py)\n.*?)^ *```$", re.M | re.S)

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
    blocks = list(BLOCK.finditer(guide.read_text()))
    for block in blocks:
        target = site / block["path"]
        indent = re.match(" *", block["code"])[0]  # type: ignore[index]
        code = re.sub(f"^{indent}", "", block["code"], flags=re.M)
        # Settings are added to those of the site; the other files are the guide's own.
        old = target.read_text() if target.name == "settings.py" else ""
        target.write_text(old + "\n" + code)
    return len(blocks)


def fenced(guide: Path, language: str) -> list[str]:
    """Return a guide's code in a language, without indentation."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```$", guide.read_text(), re.M | re.S)
    return [re.sub(f"^{indent}", "", code, flags=re.M) for indent, code in found]
