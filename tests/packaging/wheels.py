"""The wheel, as a site installs it."""

from __future__ import annotations

import shutil
import sys
import venv
from pathlib import Path

from tests.packaging.guides import run
from tests.processes import ROOT


def build_wheel(folder: Path) -> Path:
    """Build the wheel from a copy of the sources, below a folder; return its path."""
    source = folder / "source"
    shutil.copytree(ROOT / "realtime", source / "realtime")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    build = (sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir")
    run(*build, folder / "dist", source, cwd=folder)
    (wheel,) = (folder / "dist").glob("*.whl")
    return wheel


def install(folder: Path, *packages: str) -> Path:
    """Make an environment with nothing but these packages; return its interpreter."""
    venv.create(folder / "env")
    python = folder / "env" / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--python", python)
    # What is imported is compiled then: that is the smaller part.
    run(*pip, "install", "--quiet", "--no-compile", *packages, cwd=folder)
    return python
