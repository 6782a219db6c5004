"""
The sockets on which the server listens: how many may wait there, and how many did not get in.

When a process comes back all of its clients come at once. Those who find no room are not told:
their systems try again after one second, three, seven, and then give up. Only Linux tells of this.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import stat
import struct
from collections.abc import Iterator
from typing import NamedTuple

from django.conf import settings as django_settings

from ..logs import log

# With fewer places than that a storm of clients does not get in at once.
MIN_BACKLOG = 1000
HINT = "let it be 2048: daphne's --endpoint tcp:8000:interface=127.0.0.1:backlog=2048"

# Seconds between two looks at what was dropped.
INTERVAL = 10.0

# From Linux' headers: where the backlog is in what it tells of a socket that listens, and the
# number of drops.
_BACKLOG_OFFSET = 28  # tcp_info.tcpi_sacked
_TCP_INFO_SIZE = 104
_SO_MEMINFO, _MEMINFO = 55, struct.Struct("=9I")


class Listener(NamedTuple):
    """A socket that listens, and what the system says of it; `dropped` is since it was opened."""

    descriptor: int
    inode: int
    host: str
    port: int
    backlog: int
    dropped: int

    @property
    def address(self) -> str:
        """The host and port that it listens on."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def find_listeners(port: int) -> Iterator[Listener]:
    """Yield the TCP sockets on which this process listens at a port."""
    try:
        descriptors = [int(name) for name in os.listdir("/proc/self/fd")]
    except OSError:  # no Linux
        return
    for descriptor in descriptors:
        if (listener := examine(descriptor)) is not None and listener.port == port:
            yield listener


def examine(descriptor: int) -> Listener | None:
    """Return what is known of an open file, if it is a TCP socket that listens."""
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISSOCK(status.st_mode):
            return None
        opened = socket.socket(fileno=descriptor)
    except OSError:  # it was closed meanwhile
        return None
    try:
        if opened.family not in (socket.AF_INET, socket.AF_INET6):
            return None
        if not opened.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            return None
        info = opened.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_SIZE)
        memory = opened.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size)
        (backlog,) = struct.unpack_from("=I", info, _BACKLOG_OFFSET)
        host, port = opened.getsockname()[:2]
        dropped = _MEMINFO.unpack(memory)[-1]
        return Listener(descriptor, status.st_ino, host, port, backlog, dropped)
    except (OSError, struct.error):  # a socket of another kind, or a system that does not tell
        return None
    finally:
        opened.detach()  # it is the server's


async def watch(port: int) -> None:
    """Log where a port's backlog is small, and from then on how many clients found no room."""
    watched = list(find_listeners(port))
    for listener in watched:
        note_backlog(listener)
    while watched:
        await asyncio.sleep(INTERVAL)
        watched = [now for each in watched if (now := check_drops(each)) is not None]


def note_backlog(listener: Listener) -> None:
    """Log that a backlog is small; who develops a site has no storms."""
    if listener.backlog < MIN_BACKLOG and not django_settings.DEBUG:
        log(
            logging.WARNING,
            "backlog-small",
            address=listener.address,
            backlog=listener.backlog,
            hint=HINT,
        )


def check_drops(before: Listener) -> Listener | None:
    """Log what has been dropped since; return what is known now, or None once it is closed."""
    now = examine(before.descriptor)
    if now is None or now.inode != before.inode:
        return None
    if dropped := now.dropped - before.dropped:
        log(
            logging.WARNING,
            "connections-dropped",
            address=now.address,
            dropped=dropped,
            backlog=now.backlog,
            hint=HINT if now.backlog < MIN_BACKLOG else "the process had no time to accept them",
        )
    return now
