"""
What the operating system knows of a client while nobody reads what it sends.

A socket that is not read from tells no event loop that the other side is gone.
"""

from __future__ import annotations

import select
import struct
import sys

# What Linux calls SIOCOUTQ, for sockets: the bytes that the other side has not confirmed.
_UNCONFIRMED = 0x5411

_GONE = getattr(select, "POLLRDHUP", 0) | getattr(select, "POLLHUP", 0)
_GONE |= getattr(select, "POLLERR", 0)


def has_hung_up(descriptor: int) -> bool:
    """
    Tell whether the other side of a TCP connection has ended it, or reset it.

    Only Linux knows of an end behind bytes that wait to be read.
    """
    if descriptor < 0 or not hasattr(select, "poll"):
        return False
    poll = select.poll()
    poll.register(descriptor, getattr(select, "POLLRDHUP", 0))
    return any(event & _GONE for _, event in poll.poll(0))


def count_unconfirmed(descriptor: int) -> int:
    """Return how many bytes the other side's machine has not confirmed; 0 where nobody knows."""
    if descriptor < 0 or sys.platform != "linux":
        return 0
    from fcntl import ioctl  # noqa: PLC0415 - not everywhere

    try:
        (count,) = struct.unpack("i", ioctl(descriptor, _UNCONFIRMED, bytes(4)))
    except OSError:  # no such socket any more, or none of TCP
        return 0
    return int(count)
