"""Processes that `tests.forkserver` starts, each as `subprocess.Popen` shows one."""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from tests.processes import ROOT

# What the server of forks has no use for: whoever asks for a process gives its environment.
NOT_GIVEN = ("DJANGO_SETTINGS_MODULE", "PYTHONPATH")


class Fork:
    """``python -m`` with a command line that begins with "daphne" or "uvicorn"."""

    def __init__(self, command: list[str], env: dict[str, str], folder: Path) -> None:
        self.returncode: int | None = None
        self._lock = threading.Lock()
        self._told = b""
        self._report, theirs = socket.socketpair()
        reading, writing = os.pipe()
        self.stdout: BinaryIO = os.fdopen(reading, "rb", buffering=0)
        server = _server(command[0])
        socket.send_fds(server, [b"."], [theirs.fileno(), writing])
        theirs.close()
        os.close(writing)
        request = {"command": command, "env": env, "folder": str(folder)}
        self._report.sendall(json.dumps(request).encode() + b"\n")
        while (pid := self._number()) is None:
            self._await_more(None)
        self.pid = pid

    def _number(self) -> int | None:
        """Return what the server of forks has said next; None where it has said nothing yet."""
        if b"\n" not in self._told:
            with suppress(BlockingIOError):
                more = self._report.recv(64, socket.MSG_DONTWAIT)
                if not more:
                    raise RuntimeError("the server of forks has ended")
                self._told += more
        number, ended, rest = self._told.partition(b"\n")
        if not ended:
            return None
        self._told = rest
        return int(number)

    def _await_more(self, seconds: float | None) -> None:
        waiting = select.poll()
        with suppress(ValueError):  # another thread has read the last of it
            waiting.register(self._report, select.POLLIN)
        waiting.poll(None if seconds is None else seconds * 1000)

    def poll(self) -> int | None:
        """Return the exit code, if it has ended."""
        with self._lock:
            if self.returncode is None:
                self.returncode = self._number()
                if self.returncode is not None:
                    self._report.close()
            return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code when it has ended; raise TimeoutExpired if it does not in time."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            left = 1.0 if deadline is None else deadline - time.monotonic()
            if left <= 0:
                assert timeout is not None
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout)
            self._await_more(min(left, 1.0))
        return code

    def send_signal(self, sig: int, /) -> None:
        """Send a signal, if it has not ended."""
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, sig)

    def kill(self) -> None:
        """Send SIGKILL, if it has not ended."""
        self.send_signal(signal.SIGKILL)


_lock = threading.Lock()
_servers: dict[str, socket.socket] = {}


def _server(module: str) -> socket.socket:
    """Return the way to the server of forks that has imported what a module imports."""
    with _lock:
        if module not in _servers:
            _servers[module], theirs = socket.socketpair()
            given = {name: value for name, value in os.environ.items() if name not in NOT_GIVEN}
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.forkserver", module],
                env={**given, "PYTHONUNBUFFERED": "1"},
                cwd=ROOT,
                stdin=theirs,
            )
            theirs.close()
            atexit.register(_end, _servers[module], process)
        return _servers[module]


def _end(server: socket.socket, process: subprocess.Popen[bytes]) -> None:
    server.close()
    process.kill()
    process.wait()
