"""A real server in a process of its own, for tests that look at Realtime from outside."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from functools import cache, partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import psutil

KINDS = ("daphne", "uvicorn", "uvicorn-wsproto")
ROOT = Path(__file__).resolve().parent.parent
HOST = "127.0.0.1"

# What a server's exit after SIGTERM looks like: by itself, or by the signal after its clean-up.
CLEAN_EXITS = (0, -signal.SIGTERM, 128 + signal.SIGTERM)

START_DEADLINE = 40.0


def _command(kind: str, application: str, port: int) -> list[str]:
    """Return the command line that serves `application`."""
    if kind == "daphne":
        options = ["--bind", HOST, "--access-log", os.devnull]
    elif kind == "gunicorn":  # no ASGI: it serves pages, and no clients
        bind = f"{HOST}:{port}"
        options = ["--bind", bind, "--workers", "2", "--threads", "2", "--preload"]
        return [sys.executable, "-m", "gunicorn", *options, application]
    else:
        ws = {"uvicorn": "websockets-sansio", "uvicorn-wsproto": "wsproto"}[kind]
        options = ["--host", HOST, "--no-access-log", "--ws", ws]
    module = kind.partition("-")[0]
    return [sys.executable, "-m", module, *options, "--port", str(port), application]


def free_port() -> int:
    """
    Return a port that nobody listens on.

    It lies below the ports that the system gives to clients, so that it is still free when a
    stopped server wants it again.
    """
    for _ in range(100):
        port = random.randint(18_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((HOST, port))
            return port
    raise RuntimeError("no free port")


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    """Return the folder of this session's databases; it goes when the session ends."""
    return tempfile.TemporaryDirectory(prefix="realtime-live-")


@cache
def _migrated_database(settings: str) -> Path:
    """Return a migrated database to copy, made once for each session."""
    path = Path(_folder().name) / f"template-{settings}.sqlite3"
    migrate(sqlite_url(path), settings)
    return path


def migrate(database: str, settings: str = "tests.site.settings") -> None:
    """Migrate the database of a ``DATABASE_URL``."""
    subprocess.run(
        [sys.executable, "-m", "django", "migrate", "--verbosity", "0"],
        env=_environment(settings, database),
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
    shutil.copy(_migrated_database(settings), path)
    return sqlite_url(path)


def _new_path() -> Path:
    return Path(_folder().name) / f"{uuid.uuid4().hex}.sqlite3"


def _environment(settings: str, database: str) -> dict[str, str]:
    return {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": settings,
        "DATABASE_URL": database,
        "PYTHONUNBUFFERED": "1",
        "PYTHONPATH": str(ROOT),
    }


class LiveProcess:
    """
    A server started by a command, on a local port, with `env` as its whole environment.

    Usable as a context manager, or by `start` and `stop`; after `stop` or `kill`, `start` serves
    the same port again.
    """

    def __init__(
        self, kind: str, command: list[str], port: int, env: dict[str, str], folder: Path = ROOT
    ) -> None:
        self.kind = kind
        self.port = port
        self.url = f"http://{HOST}:{port}"
        self.ws_url = f"ws://{HOST}:{port}"
        self.process: subprocess.Popen[bytes] | None = None
        self._command = command
        self._env = env
        self._folder = folder
        self._log = ""
        self._unread: list[str] = []
        self._changed = threading.Condition()

    def __repr__(self) -> str:
        return f"<{self.kind} at {self.url}>"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    # Life

    @property
    def running(self) -> bool:
        """Tell whether the process lives."""
        return self.process is not None and self.process.poll() is None

    @property
    def pid(self) -> int:
        """The id of the running process."""
        assert self.process is not None, "the server was not started"
        return self.process.pid

    def start(self) -> None:
        """Start the process and return when it accepts connections; raise with the log if not."""
        self.launch()
        self.wait_ready()

    def launch(self) -> None:
        """Start the process, and return at once."""
        assert not self.running, f"{self} runs already"
        self.process = subprocess.Popen(
            self._command,
            env=self._env,
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        threading.Thread(target=self._drain, args=(self.process,), daemon=True).start()

    def wait_ready(self) -> None:
        """Return when the process accepts connections; raise with the log if it does not."""
        deadline = time.monotonic() + START_DEADLINE
        while not self._accepts():
            if not self.running or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"{self} did not start:\n{self.log}")
            with self._changed:
                self._changed.wait(0.05)

    def stop(self, timeout: float = 10.0) -> int | None:
        """End the process by SIGTERM, or by SIGKILL after the timeout; return its exit code."""
        if self.process is None:
            return None
        self.terminate()
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            return self.kill()

    def terminate(self) -> None:
        """Send SIGTERM, and return at once."""
        if self.running:
            assert self.process is not None
            self.process.terminate()

    def kill(self) -> int | None:
        """End the process at once; return its exit code."""
        if self.process is None:
            return None
        self.process.kill()
        return self.process.wait()

    def _accepts(self) -> bool:
        with socket.socket() as client:
            return client.connect_ex((HOST, self.port)) == 0

    # The log

    @property
    def log(self) -> str:
        """Everything that the server printed so far, restarts included."""
        with self._changed:
            if self._unread:
                self._log += "".join(self._unread)
                self._unread.clear()
            return self._log

    def _drain(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        with process.stdout as stream:
            for chunk in iter(partial(os.read, stream.fileno(), 65_536), b""):
                with self._changed:
                    self._unread.append(chunk.decode(errors="replace"))
                    self._changed.notify_all()

    def wait_log(self, pattern: str, timeout: float = 10.0, since: int = 0) -> re.Match[str]:
        """Return the first match in the log from offset `since` on, waiting for it to appear."""
        search = re.compile(pattern, re.MULTILINE).search
        with self._changed:
            match = self._changed.wait_for(lambda: search(self.log, since), timeout)
        if match is None:
            raise TimeoutError(f"no {pattern!r} in the log of {self}:\n{self.log[since:][-4000:]}")
        return match

    async def logged(self, pattern: str, timeout: float = 10.0, since: int = 0) -> re.Match[str]:
        """Do what `wait_log` does, for tests whose own event loop must go on."""
        return await asyncio.to_thread(self.wait_log, pattern, timeout, since)

    # Views from outside

    def get(self, path: str, **options: Any) -> httpx.Response:
        """Send a GET request."""
        return self.request("GET", path, **options)

    def post(self, path: str, **options: Any) -> httpx.Response:
        """Send a POST request; `json=` gives it a JSON body."""
        return self.request("POST", path, **options)

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Send a request to this server."""
        with httpx.Client(verify=False, trust_env=False, timeout=10) as client:
            return client.request(method, self.url + path, **options)

    def rss(self) -> int:
        """Return the process's resident memory in bytes."""
        return int(psutil.Process(self.pid).memory_info().rss)


class LiveServer(LiveProcess):
    """
    A server of the given kind ("daphne", "uvicorn", "uvicorn-wsproto", or "gunicorn" for a WSGI
    application) on a free local port.

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
    ) -> None:
        port = port or free_port()
        self.database = database or new_database(settings)
        environment = {
            **_environment(settings, self.database),
            "REALTIME_OVERRIDES": json.dumps(realtime or {}),
            **(env or {}),
        }
        super().__init__(kind, _command(kind, application, port), port, environment)
