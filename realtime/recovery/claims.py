"""A client's claim to its session, from its CONNECT until it is let in."""

from __future__ import annotations

from typing import Protocol

from ..sockets.socket import Socket
from .log import Packet
from .sessions import Session, Sessions


class Claim(Protocol):
    """What a client comes back to."""

    session: Session

    async def finish(self) -> list[Packet]:
        """Take the session over, and return what the client has missed."""

    def count(self) -> bool:
        """
        Tell whether the client still counts as there, as it was; from now on as it comes back.
        """

    def release(self, socket: Socket) -> bool:
        """
        Leave the session as it was, since the client is gone again; tell whether it still counts
        as there.
        """

    def refuse(self) -> None:
        """End the session: its client is not let in."""


class LocalClaim:
    """A claim to a session of this hub; `missed` is what came before the new socket."""

    def __init__(self, sessions: Sessions, session: Session, missed: list[Packet]) -> None:
        self.session = session
        self._sessions = sessions
        self._missed = missed

    async def finish(self) -> list[Packet]:
        """Return what the client has missed, and forget the session."""
        self._sessions.take(self.session)
        return self._missed

    def count(self) -> bool:
        """
        Tell whether the client still counts as there, as it was; from now on as it comes back.
        """
        counted, self.session.socket = self.session.socket, None
        return counted is not None

    def release(self, socket: Socket) -> bool:
        """
        Leave the session as it was, since the client is gone again; tell whether it still counts
        as there.
        """
        self.session.claimant = None
        return self._sessions.count_again(self.session, socket)

    def refuse(self) -> None:
        """End the session: its client is not let in."""
        self._sessions.end(self.session)
