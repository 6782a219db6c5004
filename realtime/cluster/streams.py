"""Which streams of the log keep what is for a target."""

from __future__ import annotations

from ..identity.user_rooms import is_user_room
from .envelopes import group_name
from .sids import server_of
from .targets import Target


def stream_name(namespace: str, room: str | None) -> str:
    """
    Return the stream of a room, of a client by its sid, or of all the namespace where it is None.

    Who sends to a client need not know in which namespace that is.
    """
    if room is not None and server_of(room) is not None:
        namespace = ""
    return group_name(namespace, room)[3:]


def group_of(namespace: str, room: str | None) -> str:
    """
    Return the layer's group by which what is for a room comes: the namespace's for a user's, whose
    stream is its own all the same.
    """
    return group_name(namespace, None if room is not None and is_user_room(room) else room)


def streams_of(target: Target) -> tuple[str, ...]:
    """Return the streams of a target, each once."""
    rooms = target.rooms or (None,)
    return tuple(dict.fromkeys(stream_name(target.namespace, room) for room in rooms))
