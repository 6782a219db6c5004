"""What is told of a client beside its socket: its connection, its user, and where it comes from."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

from ..utils.headers import header

# The start of a connection's secret id: enough to tell connections apart, too little to guess it.
CONNECTION_LENGTH = 12


class Connection(Protocol):
    """A client's connection."""

    sid: str
    scope: dict[str, Any]

    @property
    def transport(self) -> str:
        """How the client is connected."""


class ClientFacts(NamedTuple):
    """
    A client as presence and the admin tell of it; of one that is away, as it was connected last.

    `connection` is the same for all sockets of a connection, and no secret.
    """

    connection: str
    user: Any
    address: str
    user_agent: str
    transport: str

    @classmethod
    def of(cls, connection: Connection) -> ClientFacts:
        """Return what a connection tells."""
        scope = connection.scope
        client = scope.get("client") or ("",)
        return cls(
            connection.sid[:CONNECTION_LENGTH],
            # A site's middleware may know that another row, or none, is the client's user.
            scope.get("presence_user", scope.get("user")),
            str(client[0] or ""),
            header(scope, b"user-agent") or "",
            connection.transport,
        )
