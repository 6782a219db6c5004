"""A real server in a process of its own, for tests that look at Realtime from outside."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from tests.forks import Fork
from tests.ports import HOST, free_port
from tests.processes import ROOT, LiveProcess, Process
from tests.shared import made_once

KINDS = ("daphne", "uvicorn", "uvicorn-wsproto")

# With the event loop that is stricter with transports that are closed.
LOOP_KINDS = (*KINDS, "uvicorn-uvloop")

# Servers that Realtime knows nothing of: it reads and writes as ASGI says.
PLAIN_ASGI_KINDS = ("granian", "hypercorn")

# The same servers as if Realtime knew nothing of them, either.
INDIRECT = "-indirect"
INDIRECT_KINDS = ("daphne-indirect", "uvicorn-indirect")

EVERY_KIND = (*KINDS, *INDIRECT_KINDS, *PLAIN_ASGI_KINDS)
EVERY_LOOP_KIND = (*EVERY_KIND, "uvicorn-uvloop")


def _command(kind: str, application: str, port: int) -> list[str]:
    """Return the command line that serves `application`."""
    if kind == "runserver":  # it serves the settings' own
        return [sys.executable, "-m", "django", "runserver", "--noreload", f"{HOST}:{port}"]
    if kind == "daphne":
        endpoint = f"tcp:{port}:interface={HOST}:backlog=2048"
        options = ["--endpoint", endpoint, "--access-log", os.devnull]
        return [sys.executable, "-m", "daphne", *options, application]
    if kind == "gunicorn":  # no ASGI: it serves pages, and no clients
        bind = f"{HOST}:{port}"
        options = ["--bind", bind, "--workers", "2", "--threads", "2", "--preload"]
        return [sys.executable, "-m", "gunicorn", *options, application]
    if kind == "gunicorn-uvicorn":
        worker = ["--worker-class", "uvicorn.workers.UvicornWorker", "--workers", "1"]
        options = ["--bind", f"{HOST}:{port}", *worker, "--graceful-timeout", "30"]
        return [sys.executable, "-m", "gunicorn", *options, application]
    if kind == "granian":
        # The loop by name, as below.
        options = ["--interface", "asgi", "--host", HOST, "--loop", "asyncio"]
    elif kind == "hypercorn":
        options = ["--bind", f"{HOST}:{port}", "--workers", "0"]
        return [sys.executable, "-m", "hypercorn", *options, application]
    else:
        # By name: uvicorn would take whatever is installed.
        ws = "wsproto" if kind == "uvicorn-wsproto" else "websockets-sansio"
        loop = "uvloop" if kind == "uvicorn-uvloop" else "asyncio"
        options = ["--host", HOST, "--no-access-log", "--ws", ws, "--loop", loop]
    module = kind.partition("-")[0]
    return [sys.executable, "-m", module, *options, "--port", str(port), application]


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    """Return the folder of this session's databases; it goes when the session ends."""
    return tempfile.TemporaryDirectory(prefix="realtime-live-")


def migrate(database: str, settings: str = "tests.site.settings") -> None:
    """Migrate the database of a ``DATABASE_URL``."""
    subprocess.run(
        [sys.executable, "-m", "django", "migrate", "--verbosity", "0"],
        env=environment(settings, database),
        cwd=ROOT,
        check=True,
    )


def sqlite_url(path: Path) -> str:
    """Return what ``DATABASE_URL`` is to be for an SQLite file."""
    return f"sqlite:///{path}"


def empty_database() -> str:
    """Return the ``DATABASE_URL`` of a new SQLite database without tables."""
    return sqlite_url(_new_path())


def new_database(settings: str = "tests.site.settings") -> str:
    """Return the ``DATABASE_URL`` of a new migrated SQLite database."""
    path = _new_path()
    template = made_once(
        f"{settings}.sqlite3", lambda template: migrate(sqlite_url(template), settings)
    )
    shutil.copy(template, path)
    return sqlite_url(path)


def _new_path() -> Path:
    return Path(_folder().name) / f"{uuid.uuid4().hex}.sqlite3"


def environment(settings: str, database: str) -> dict[str, str]:
    """Return the environment of a process of the site."""
    return {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": settings,
        "DATABASE_URL": database,
        "PYTHONUNBUFFERED": "1",
        "PYTHONPATH": str(ROOT),
        # It is runserver's, and to import it is a third of what a start costs.
        "WITHOUT_APPS": "daphne",
    }


class LiveServer(LiveProcess):
    """
    A server of the given kind ("daphne", "uvicorn", "uvicorn-wsproto", "uvicorn-uvloop", "granian",
    "hypercorn", "runserver", "gunicorn-uvicorn" for uvicorn's worker under gunicorn, or "gunicorn"
    for a WSGI application) on a free local port, with more `options` on its command line. With
    "-indirect" behind its name it has DIRECT_IO turned off.

    ``realtime`` overrides the setting REALTIME, ``env`` the environment. It has a migrated SQLite
    database of its own, or the `database` (a ``DATABASE_URL``) that others may share.
    """

    def __init__(
        self,
        kind: str,
        *,
        settings: str = "tests.site.settings",
        realtime: dict[str, Any] | None = None,
        env: dict[str, str] | None = None,
        port: int | None = None,
        database: str | None = None,
        application: str = "project.asgi:application",
        options: Sequence[str] = (),
    ) -> None:
        port = port or free_port()
        self.known = kind not in PLAIN_ASGI_KINDS and not kind.endswith(INDIRECT)
        if kind.endswith(INDIRECT):
            kind, realtime = kind.removesuffix(INDIRECT), {"DIRECT_IO": False, **(realtime or {})}
        self.database = database or new_database(settings)
        variables = {
            **environment(settings, self.database),
            "REALTIME_OVERRIDES": json.dumps(realtime or {}),
            **({"WITHOUT_APPS": ""} if kind == "runserver" else {}),
            **(env or {}),
        }
        super().__init__(kind, [*_command(kind, application, port), *options], port, variables)

    def _spawn(self) -> Process:
        """
        Start it: those that tests start by the hundred out of a process that has imported what they
        import. Those with modules of their own are started by their commands, and so are those of
        tests/packaging, tests/docs and tests/cluster/demo.
        """
        interpreter, option, *command = self._command
        if command[0] in ("daphne", "uvicorn") and self._env["PYTHONPATH"] == str(ROOT):
            assert (interpreter, option) == (sys.executable, "-m")
            return Fork(command, self._env, self._folder)
        return super()._spawn()

    def close(self) -> None:
        """
        End it for good: at once, as nobody looks any more. A daphne takes half as long to leave as
        to start.
        """
        if self.kind in LOOP_KINDS:
            self.kill()
        else:  # it may have processes of its own
            self.stop(timeout=5)

    def close_code(self, code: int) -> int:
        """Return what clients see where Realtime closes a WebSocket with a code below 3000."""
        return code if self.known else 1000
