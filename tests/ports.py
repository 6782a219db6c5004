"""Free local ports, of which each test process of this machine has its own."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import random
import socket
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

HOST = "127.0.0.1"

# Below the ports that the system gives to clients, so that a port is still free when a stopped
# server wants it again.
PORTS = range(18_000, 32_000)

# So many test processes may run side by side, of one checkout or of several.
SHARES = 100


def free_port() -> int:
    """
    Return a port that nobody listens on.

    It is this process's alone, and was not given to anybody lately: who has got it may not listen
    yet, or may have stopped only to start again.
    """
    ports = _own_ports()
    for _ in range(len(PORTS) // SHARES):
        port = next(ports)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((HOST, port))
            return port
    raise RuntimeError("no free port")


@cache
def _own_ports() -> Iterator[int]:
    """Return this process's share of the ports, in turn and for ever."""
    ports = list(PORTS[_take_share() :: SHARES])
    random.shuffle(ports)
    return itertools.cycle(ports)


def _take_share() -> int:
    """Return a share that no other process has, until this process ends, however it does."""
    for share in range(SHARES):
        path = Path(tempfile.gettempdir()) / f"realtime-ports-{share}.lock"
        with contextlib.suppress(OSError):  # another user's, perhaps
            lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(lock)
                raise
            return share
    raise RuntimeError(f"more than {SHARES} processes run tests on this machine")
