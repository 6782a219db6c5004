"""The documentation's site, served; and what is run on it in processes of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.packaging.guides import ENV, run
from tests.ports import HOST, free_port
from tests.processes import ROOT, LiveProcess
from tests.valkey import Valkey

SITE = ROOT / "tests" / "docs" / "site"

# The tests in there run on that site, with settings of their own.
collect_ignore = ["site"]

CONTENT = """
from importlib import import_module

from django.conf import settings
from django.contrib.auth import login
from django.contrib.auth.models import User
from django.core.management import call_command
from django.http import HttpRequest
from shop.models import Device, Order

call_command("migrate", verbosity=0)
Order.objects.create(pk=7)
Device.objects.create(token="...")
request = HttpRequest()
request.session = import_module(settings.SESSION_ENGINE).SessionStore()
login(request, User.objects.create_superuser("ada"))
request.session.save()
print("session", request.session.session_key)
"""

# Runs code, which is a line of JSON, and says when it has.
DONE = "the code has run\n"
CONSOLE = f"""
import json, sys

for line in sys.stdin:
    exec(json.loads(line), {{}})
    print({DONE!r}, end="", flush=True)
"""


class Site(LiveProcess):
    """
    The site under daphne or uvicorn, with a folder for its database and for more templates.

    `session` is the key of somebody's who has logged in, a superuser. `variables` are further ones
    of the environment, which its settings read.
    """

    def __init__(self, kind: str, folder: Path, valkey: Valkey, **variables: str) -> None:
        self.files = folder
        self.env = {
            **ENV,
            "MYSITE_FILES": str(folder),
            "PYTHONPATH": f"{SITE}:{ROOT}",
            "PYTHONUNBUFFERED": "1",
            "REDIS_URL": valkey.url,
            **variables,
        }
        port = free_port()
        host = {"daphne": "--bind", "uvicorn": "--host"}[kind]
        command = [sys.executable, "-m", kind, host, HOST, "--port", str(port)]
        super().__init__(kind, [*command, "mysite.asgi:application"], port, self.env, SITE)
        self._console: subprocess.Popen[str] | None = None
        self.session = self.manage("shell", "--no-imports", "-c", CONTENT).split()[-1]

    def manage(self, *arguments: str) -> str:
        """Return what a command of manage.py printed."""
        return run(sys.executable, "manage.py", *arguments, cwd=SITE, env=self.env)

    def run(self, code: str) -> str:
        """Run code in a process that is no server, the same each time; return what it printed."""
        if self._console is None:
            self._console = subprocess.Popen(
                [sys.executable, "manage.py", "shell", "--no-imports", "-c", CONSOLE],
                cwd=SITE,
                env=self.env,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        given, printed = self._console.stdin, self._console.stdout
        assert given is not None
        assert printed is not None
        given.write(f"{json.dumps(code)}\n")
        given.flush()
        lines: list[str] = []
        while (line := printed.readline()) != DONE:
            assert line, "".join(lines)
            lines.append(line)
        return "".join(lines)

    def close(self) -> None:
        """End it, and the process that runs code."""
        super().close()
        if self._console is not None:
            self._console.kill()
            self._console.communicate()


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory, valkey: Valkey) -> Iterator[Site]:
    """The site under uvicorn."""
    with Site("uvicorn", tmp_path_factory.mktemp("mysite"), valkey) as site:
        yield site


@pytest.fixture(scope="session")
def daphne_site(tmp_path_factory: pytest.TempPathFactory, valkey: Valkey) -> Iterator[Site]:
    """The same site under daphne."""
    with Site("daphne", tmp_path_factory.mktemp("mysite"), valkey) as site:
        yield site
