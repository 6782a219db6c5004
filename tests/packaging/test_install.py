"""The guide "Add Realtime to an existing site", executed with the wheel in an empty environment."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import venv
from itertools import takewhile
from pathlib import Path

import pytest
import socketio

from tests.live import HOST, ROOT, free_port

GUIDE = ROOT / "docs" / "how-to" / "add-to-an-existing-site.md"
BLOCK = re.compile(r"^ *```python\n(?P<code> *# (?P<path>\S+)\n.*?)^ *```$", re.M | re.S)
DEADLINE = 60

# What a shell of the site's developer has: nothing of this repository.
ENV = {
    name: value
    for name, value in os.environ.items()
    if name not in ("DJANGO_SETTINGS_MODULE", "PYTHONPATH")
}

pytestmark = pytest.mark.timeout(600)


def run(*command: str | Path, cwd: Path) -> str:
    """Return what a command printed; fail with it where the command failed."""
    done = subprocess.run(command, cwd=cwd, env=ENV, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a new environment with nothing but the wheel and what it asks for."""
    folder = tmp_path_factory.mktemp("packaging")
    source = folder / "source"
    shutil.copytree(ROOT / "realtime", source / "realtime")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    run(sys.executable, "-m", "build", "--wheel", "--outdir", folder / "dist", source, cwd=folder)
    (wheel,) = (folder / "dist").glob("*.whl")
    venv.create(folder / "env", with_pip=True)
    python = folder / "env" / "bin" / "python"
    run(python, "-m", "pip", "install", "--quiet", f"{wheel}[daphne]", cwd=folder)
    return python


@pytest.fixture(scope="module")
def site(python: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new Django site that has been changed as the guide says."""
    site = tmp_path_factory.mktemp("site")
    run(python, "-m", "django", "startproject", "mysite", ".", cwd=site)
    blocks = list(BLOCK.finditer(GUIDE.read_text()))
    assert len(blocks) == 4
    for block in blocks:
        target = site / block["path"]
        indent = re.match(" *", block["code"])[0]  # type: ignore[index]
        code = re.sub(f"^{indent}", "", block["code"], flags=re.M)
        # Settings are added to those of the site; the other files are the guide's own.
        old = target.read_text() if target.name == "settings.py" else ""
        target.write_text(old + "\n" + code)
    return site


def test_site_passes_django_checks(python: Path, site: Path) -> None:
    output = run(python, "manage.py", "check", "--fail-level", "WARNING", cwd=site)
    assert "no issues" in output


def test_static_files_are_found(python: Path, site: Path) -> None:
    found = run(python, "manage.py", "findstatic", "realtime/realtime.js", cwd=site)
    assert "site-packages" in found


def test_client_connects(python: Path, site: Path) -> None:
    run(python, "manage.py", "migrate", "--verbosity", "0", cwd=site)
    port = free_port()
    server = subprocess.Popen(
        [python, "-m", "daphne", "-b", HOST, "-p", str(port), "mysite.asgi:application"],
        cwd=site,
        env=ENV,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert server.stdout is not None
    try:
        started = list(takewhile(lambda line: "Listening" not in line, server.stdout))
        assert server.poll() is None, "".join(started)
        with socketio.SimpleClient() as client:
            client.connect(f"http://{HOST}:{port}", wait_timeout=DEADLINE)
            assert client.receive(timeout=DEADLINE) == ["message", "I'm server"]
            assert client.call("greet", "Ada", timeout=DEADLINE) == "Hello, Ada"
    finally:
        server.terminate()
        server.wait(DEADLINE)
        server.stdout.close()
