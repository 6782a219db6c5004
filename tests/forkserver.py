"""
Starts servers out of a process that has imported what they import, so that each need not do it
again: ``python -m tests.forkserver daphne``. Of Realtime and of the site nothing is imported here.

The tests, in `tests.forks`, hand over two descriptors for each server: of a socket, and of what it
is to write to. They write on the socket what to run; they read its process id, and when it has
ended, its exit code.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import sys
import time
from contextlib import suppress
from typing import Any

# Nothing of these asks for settings, or has a reactor made.
DJANGO = (
    "channels.auth",
    "channels.security.websocket",
    "django.contrib.admin.apps",
    "django.contrib.auth.apps",
    "django.contrib.staticfiles.handlers",
    "django.db.backends.sqlite3.base",
    "environ",
    "msgspec",
    "psutil",
)
MODULES = {
    "daphne": (*DJANGO, "daphne.http_protocol", "daphne.ws_protocol"),
    "uvicorn": (
        *DJANGO,
        "uvicorn.lifespan.on",
        "uvicorn.main",
        "uvicorn.protocols.http.h11_impl",
        "uvicorn.protocols.websockets.websockets_sansio_impl",
    ),
}


class Forks:
    """The processes that were started here and live, each with the socket of who asked for it."""

    def __init__(self, asks: socket.socket) -> None:
        self._asks = asks
        self._reports: dict[int, socket.socket] = {}
        self._woken, self._wakes = os.pipe()
        os.set_blocking(self._wakes, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wakes, warn_on_full_buffer=False)

    def serve(self) -> dict[str, Any] | None:
        """Return what to run, in a process that is to run it; None here, when the tests end."""
        while True:
            ready, _, _ = select.select([self._asks, self._woken], [], [])
            if self._woken in ready:
                os.read(self._woken, 4096)
                self._report_ends()
            if self._asks in ready:
                given, descriptors, _, _ = socket.recv_fds(self._asks, 1, 2)
                if not given:
                    return None
                report, output = socket.socket(fileno=descriptors[0]), descriptors[1]
                pid = os.fork()
                if not pid:
                    return self._become(report, output)
                os.close(output)
                self._reports[pid] = report
                _say(report, pid)

    def _report_ends(self) -> None:
        for pid in list(self._reports):
            end = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if end is not None:
                # Told before the id is free again, so that nobody signals a stranger.
                with self._reports.pop(pid) as report:
                    _say(report, end.si_status if end.si_code == os.CLD_EXITED else -end.si_status)
                os.waitpid(pid, 0)

    def _become(self, report: socket.socket, output: int) -> dict[str, Any]:
        """Leave all of the others behind, and read what to run."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        with report, report.makefile() as lines:
            request: dict[str, Any] = json.loads(lines.readline())
        for other in (self._asks, *self._reports.values()):
            other.close()
        for descriptor in (self._woken, self._wakes):
            os.close(descriptor)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for descriptor, place in ((nothing, 0), (output, 1), (output, 2)):
            os.dup2(descriptor, place)
        os.close(nothing)
        os.close(output)
        return request


def _say(report: socket.socket, number: int) -> None:
    with suppress(ConnectionError):  # nobody asks any more
        report.sendall(f"{number}\n".encode())


def _enter(request: dict[str, Any], path: list[str]) -> None:
    """Have the environment, the folder and the command line of what is to run."""
    os.environ.clear()
    os.environ.update(request["env"])
    time.tzset()
    os.chdir(request["folder"])
    given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:] = [request["folder"], *filter(None, given), *path]
    importlib.invalidate_caches()
    sys.argv[:] = request["command"]


def _collect_when_listening() -> None:
    """What a server imports is no garbage: look for some when it listens."""

    def listen(listener: socket.socket, *backlog: int) -> None:
        del socket.socket.listen  # type: ignore[misc]
        gc.enable()
        listener.listen(*backlog)

    socket.socket.listen = listen  # type: ignore[method-assign]


def main() -> None:
    """Import, and serve; in each process that is started, run what it is to run."""
    gc.disable()
    path = sys.path[1:]  # without the folder of this module
    for name in MODULES[sys.argv[1]]:
        importlib.import_module(name)
    gc.freeze()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it is for the tests, which end this
    request = Forks(socket.socket(fileno=0)).serve()
    if request is not None:
        _enter(request, path)
        _collect_when_listening()
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
