"""The servers under test: how each is started, on which core, and how it is stopped."""

from __future__ import annotations

import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

ROOT = Path(__file__).resolve().parent.parent
PEERS = Path(__file__).resolve().parent / "peers"
HOST = "127.0.0.1"
START_TIME = 30.0
STOP_TIME = 40.0

# The server has one core for itself; the load generator, and Valkey, have the other one.
CORES = sorted(os.sched_getaffinity(0))
SERVER_CORE, LOAD_CORE = CORES[-1], CORES[0]


@dataclass(frozen=True)
class Kind:
    """
    A server under test.

    `title` is its name in the tables, `command` starts it with "{port}" replaced; `dialect` and
    `path` are what its clients speak and where, `settings` its Django settings if it has any.
    """

    name: str
    title: str
    command: tuple[str, ...]
    dialect: str = "socketio"
    path: str = "/socket.io/"
    settings: str = ""
    env: Mapping[str, str] = field(default_factory=dict)


def _uvicorn(application: str, loop: str = "uvloop") -> tuple[str, ...]:
    options = ("--ws", "websockets-sansio", "--loop", loop, "--log-level", "warning")
    address = ("--host", HOST, "--port", "{port}")
    return (sys.executable, "-m", "uvicorn", *options, "--no-access-log", *address, application)


def _daphne(application: str) -> tuple[str, ...]:
    # With the backlog that uvicorn has by default.
    endpoint = f"tcp:{{port}}:interface={HOST}:backlog=2048"
    return (sys.executable, "-m", "daphne", "-v", "0", "--endpoint", endpoint, application)


_REALTIME = "benchmarks.peers.realtime.asgi:application"
_CHANNELS = "benchmarks.peers.channels_tutorial.asgi:application"
_DJANGO_SIO = "benchmarks.peers.django_sio.asgi:application"
_OURS = "benchmarks.peers.realtime.settings"
_THEIRS = "benchmarks.peers.channels_tutorial.settings"

KINDS = {
    kind.name: kind
    for kind in (
        Kind("uvicorn", "Realtime on uvicorn (uvloop)", _uvicorn(_REALTIME), settings=_OURS),
        Kind(
            "uvicorn-asyncio",
            "Realtime on uvicorn (asyncio)",
            _uvicorn(_REALTIME, "asyncio"),
            settings=_OURS,
        ),
        Kind("daphne", "Realtime on daphne", _daphne(_REALTIME), settings=_OURS),
        Kind("valkey", "Valkey", ()),  # not a server under test: what carries messages between them
        Kind("node", "Socket.IO on Node", ("node", str(PEERS / "node" / "server.mjs"), "{port}")),
        Kind(
            "python-socketio",
            "python-socketio on uvicorn (uvloop)",
            _uvicorn("benchmarks.peers.python_socketio.asgi:application"),
        ),
        Kind(
            "channels-uvicorn",
            "Channels on uvicorn (uvloop)",
            _uvicorn(_CHANNELS),
            dialect="plain",
            path="/ws/",
            settings=_THEIRS,
        ),
        Kind(
            "channels-daphne",
            "Channels on daphne",
            _daphne(_CHANNELS),
            dialect="plain",
            path="/ws/",
            settings=_THEIRS,
        ),
        Kind(
            "django-sio",
            "django-sio on uvicorn (uvloop)",
            _uvicorn(_DJANGO_SIO),
            settings="benchmarks.peers.django_sio.settings",
        ),
    )
}


def raise_file_limit() -> int:
    """Let this process and its children open as many files as the system allows; return that."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def pin(core: int) -> None:
    """Keep this process, or the child that calls this, on one core."""
    os.sched_setaffinity(0, {core})


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


class Server:
    """
    One running process of a kind, as a context manager: on one core, or on any where it is None.
    """

    def __init__(
        self,
        kind: Kind,
        database: Path,
        env: Mapping[str, str] | None = None,
        core: int | None = SERVER_CORE,
    ) -> None:
        self.kind = kind
        self._core = core
        self.port = free_port()
        self._log = database.parent / f"{kind.name}-{self.port}.log"
        self._env = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "NODE_ENV": "production",
            "BENCH_DATABASE": str(database),
            **kind.env,
            **(env or {}),
        }
        if kind.settings:
            self._env["DJANGO_SETTINGS_MODULE"] = kind.settings

    def __enter__(self) -> Self:
        self._start()
        return self

    def restart(self) -> None:
        """End the process as its system would, and start it on the same port again."""
        self.stop()
        self._start()

    def _start(self) -> None:
        command = [part.replace("{port}", str(self.port)) for part in self.kind.command]
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                command,
                env=self._env,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                preexec_fn=self._pin,  # noqa: PLW1509 - no thread holds a lock here
            )
        try:
            self._wait_until_ready()
        except BaseException:  # whatever it is, the process must not outlive the driver
            self.stop()
            raise

    def _pin(self) -> None:
        if self._core is not None:
            pin(self._core)

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_TIME
        while not self._accepts():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{self.kind.name} did not start:\n{self.log}")
            time.sleep(0.02)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The process's id."""
        return self.process.pid

    @property
    def log(self) -> str:
        """The last lines that the server printed."""
        return self._log.read_text(errors="replace")[-3000:]

    def count_logged(self, word: str) -> int:
        """Return how often the server has printed a word."""
        return self._log.read_text(errors="replace").count(word)

    def stop(self) -> None:
        """End the process by SIGTERM, or by SIGKILL when that takes too long."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_TIME)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _accepts(self) -> bool:
        with socket.socket() as client:
            return client.connect_ex((HOST, self.port)) == 0
