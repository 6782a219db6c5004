"""What is told of a client beside its socket: its connection, its user, and where it comes from."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

from django.contrib.auth import get_user_model
from django.utils.functional import SimpleLazyObject

from ..utils.headers import header
from .logins import new_anonymous

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


def name_of(user: Any) -> str:
    """Return a user's name, or an empty text where there is none, or it cannot be told here."""
    try:
        return str(user.get_username())
    except Exception:  # a site's own middleware may take anything for a user
        return ""


def absent_user(key: str | None, name: str) -> Any:
    """Return the user of this primary key and name, who is looked up where more is asked for."""
    if key is None:
        return new_anonymous()
    user = _AbsentUser(lambda: get_user_model()._default_manager.get(pk=key))
    user.__dict__.update(pk=key, _name=name)
    return user


class _AbsentUser(SimpleLazyObject):  # type: ignore[type-arg]
    """A user of whom only a key and a name are known yet: somebody, who need not be looked up."""

    is_authenticated, is_anonymous = True, False

    def get_username(self) -> str:
        """Return the name."""
        return str(self.__dict__["_name"])
