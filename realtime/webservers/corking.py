"""
Answers that leave in one piece, headers and body, where a server writes them one by one.

python-socketio's client closes its HTTP session at an error's status, before it reads the body.
Where that is not there yet, its attempts to come back end for good, with a RuntimeError.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from .detect import servers_own

# What Linux calls it alone. Twisted puts together by itself what daphne writes in one go.
_CORK: int | None = getattr(socket, "TCP_CORK", None)


@contextmanager
def in_one_piece(send: Any) -> Iterator[None]:
    """Hold back, in the block, what an ASGI `send` of uvicorn's writes to a socket of TCP."""
    held = _set_cork(send, 1)
    try:
        yield
    finally:
        if held:
            _set_cork(send, 0)


def _set_cork(send: Any, value: int) -> bool:
    """Set the option on the socket behind a server's `send`; tell whether there is such a one."""
    transport = getattr(getattr(servers_own(send), "__self__", None), "transport", None)
    find = getattr(transport, "get_extra_info", None)
    connection = find("socket") if find is not None else None
    if _CORK is None or connection is None:
        return False
    with suppress(OSError):  # no socket of TCP, or none any more
        connection.setsockopt(socket.IPPROTO_TCP, _CORK, value)
        return True
    return False
