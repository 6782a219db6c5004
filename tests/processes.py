"""Processes and other services that tests start and stop, each on a local port of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import socket
import subprocess
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Protocol, Self

import httpx
import psutil

from tests.ports import HOST

ROOT = Path(__file__).resolve().parent.parent


def clean_exits(number: int) -> tuple[int, ...]:
    """Return a server's exit codes after a signal: by itself, or by it after its clean-up."""
    return (0, -number, 128 + number)


CLEAN_EXITS = clean_exits(signal.SIGTERM)

START_DEADLINE = 60.0
LOG_DEADLINE = 30.0

# How long the last lines of a process that has ended may be on their way. What it has started may
# live on, and write to the same pipe.
LAST_LINES = 2.0


class Process(Protocol):
    """What tests do with a process: a `subprocess.Popen` is one."""

    @property
    def pid(self) -> int: ...
    @property
    def stdout(self) -> IO[bytes] | None: ...
    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def send_signal(self, sig: int, /) -> None: ...
    def kill(self) -> None: ...


class Service(ABC):
    """What is started and stopped, by its methods or by `with`."""

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:  # whatever it is, nothing may be left running
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @abstractmethod
    def start(self) -> None:
        """Start it, and return when it is of use; raise with what it said if it never is."""

    @abstractmethod
    def stop(self) -> object:
        """End it; `start` may follow."""

    def close(self) -> None:
        """End it for good."""
        self.stop()


class Frozen(Service):
    """A service whose processes can be stopped as if their machine were gone: nobody answers."""

    @property
    @abstractmethod
    def pid(self) -> int:
        """The id of the first of its processes."""

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """Let it do nothing in the block, and go on after it."""
        self._signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        first = psutil.Process(self.pid)
        for process in (first, *first.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)


class LiveProcess(Frozen):
    """
    A server started by a command, on a local port, with `env` as its whole environment.

    After `stop` or `kill`, `start` serves the same port again.
    """

    def __init__(
        self, kind: str, command: list[str], port: int, env: dict[str, str], folder: Path = ROOT
    ) -> None:
        self.kind = kind
        self.port = port
        self.url = f"http://{HOST}:{port}"
        self.ws_url = f"ws://{HOST}:{port}"
        self.process: Process | None = None
        self._command = command
        self._env = env
        self._folder = folder
        self._log = ""
        self._unread: list[str] = []
        self._changed = threading.Condition()
        self._reader: threading.Thread | None = None

    def __repr__(self) -> str:
        return f"<{self.kind} at {self.url}>"

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
        self.process = self._spawn()
        self._reader = threading.Thread(target=self._drain, args=(self.process,), daemon=True)
        self._reader.start()

    def _spawn(self) -> Process:
        return subprocess.Popen(
            self._command,
            env=self._env,
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def wait_ready(self) -> None:
        """Return when the process accepts connections; raise with the log if it does not."""
        deadline = time.monotonic() + START_DEADLINE
        while not self._accepts():
            if not self.running or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"{self} did not start:\n{self.log}")
            with self._changed:
                self._changed.wait(0.05)

    def stop(self, timeout: float = 10.0, number: int = signal.SIGTERM) -> int | None:
        """
        End the process by a signal, or by SIGKILL after the timeout; return its exit code.

        After this and `kill`, the log has all that it said.
        """
        if self.process is None:
            return None
        self.terminate(number)
        try:
            return self._ended(self.process.wait(timeout))
        except subprocess.TimeoutExpired:
            return self.kill()

    def terminate(self, number: int = signal.SIGTERM) -> None:
        """Send a signal that ends it, and return at once."""
        if self.running:
            assert self.process is not None
            self.process.send_signal(number)

    def kill(self) -> int | None:
        """End the process at once; return its exit code."""
        if self.process is None:
            return None
        self.process.kill()
        return self._ended(self.process.wait())

    def _ended(self, code: int) -> int:
        if self._reader is not None:
            self._reader.join(LAST_LINES)
        return code

    def _accepts(self) -> bool:
        with socket.socket() as client:
            if client.connect_ex((HOST, self.port)):
                return False
        return self._listens()  # and not somebody else, while this process is about to give up

    def _listens(self) -> bool:
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(self.pid)
            return self._is_listener(process) or any(
                map(self._is_listener, process.children(recursive=True))
            )
        return False

    def _is_listener(self, process: psutil.Process) -> bool:
        return any(
            connection.status == psutil.CONN_LISTEN and connection.laddr.port == self.port
            for connection in process.net_connections("tcp")
        )

    # The log

    @property
    def log(self) -> str:
        """Everything that the server printed so far, restarts included."""
        with self._changed:
            if self._unread:
                self._log += "".join(self._unread)
                self._unread.clear()
            return self._log

    def _drain(self, process: Process) -> None:
        assert process.stdout is not None
        with process.stdout as stream:
            for chunk in iter(partial(os.read, stream.fileno(), 65_536), b""):
                with self._changed:
                    self._unread.append(chunk.decode(errors="replace"))
                    self._changed.notify_all()

    def wait_log(
        self, pattern: str, timeout: float = LOG_DEADLINE, since: int = 0
    ) -> re.Match[str]:
        """Return the first match in the log from offset `since` on, waiting for it to appear."""
        search = re.compile(pattern, re.MULTILINE).search
        with self._changed:
            match = self._changed.wait_for(lambda: search(self.log, since), timeout)
        if match is None:
            raise TimeoutError(f"no {pattern!r} in the log of {self}:\n{self.log[since:][-4000:]}")
        return match

    async def logged(
        self, pattern: str, timeout: float = LOG_DEADLINE, since: int = 0
    ) -> re.Match[str]:
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
