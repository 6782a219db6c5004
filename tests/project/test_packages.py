"""What installs the system's packages for the tests, where it cannot."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.processes import ROOT

SCRIPT = ROOT / ".ci" / "packages"
TOOLS = ("sh", "sed", "tr", "id", "ls", "env", "dirname", "rm")


def packages(folder: Path, *needs: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run the script where there are only a few tools, and no apt-get."""
    for name in TOOLS:
        program = shutil.which(name)
        assert program
        (folder / name).symlink_to(program)
    return subprocess.run(
        ["sh", SCRIPT, *needs],
        env={"PATH": str(folder), "HOME": str(folder), **env},
        check=False,
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize(("env", "code"), [({}, 0), ({"CI": "true"}, 1)])
def test_what_cannot_be_installed_is_said_and_fails_in_ci_alone(
    tmp_path: Path, env: dict[str, str], code: int
) -> None:
    done = packages(tmp_path, "npm", "compiler", "chromium", **env)
    assert done.returncode == code
    (line,) = (done.stdout + done.stderr).splitlines()
    assert "there is no apt-get here: nodejs npm gcc libc6-dev chromium" in line


def test_nothing_is_said_where_nothing_is_missing(tmp_path: Path) -> None:
    for name in ("node", "npm"):
        (tmp_path / name).symlink_to("/bin/true")
    done = packages(tmp_path, "npm")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_need_that_is_none(tmp_path: Path) -> None:
    done = packages(tmp_path, "npm", "nodejs")
    assert done.returncode == 2
    assert "no need named nodejs" in done.stderr
