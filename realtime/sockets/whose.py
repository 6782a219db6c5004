"""Whose a socket is: its connection's user, unless it has one of its own."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from ..identity.renewal import Found, Login
from .interfaces import Connection, Consumer, Hub


class Whose:
    """The side of a socket that knows its user. `login` is one of its own: none, as a rule."""

    __slots__ = ("login",)

    hub: Hub
    connection: Connection
    consumer: Consumer

    def __init__(self) -> None:
        self.login: Login | None = None

    @property
    def user(self) -> Any:
        """The client's user."""
        if self.login is not None:
            return self.login.user
        return self.connection.scope.get("user")

    def log_in(self, login: Login | None) -> None:
        """
        Be somebody's from now on, whatever the connection's user is, or its again (None); from any
        thread.
        """
        self.login = login
        self.hub.run(self.renew)
        if login is not None:
            self.hub.run(self.hub.reasking.note_login, self)

    def note_user(self) -> None:
        """Take note that the user is another one, or another object: on the hub's loop."""
        raise NotImplementedError

    def renew_login(self, found: Found) -> None:
        """Have the login of its own, as it was found now."""
        assert self.login is not None
        self.login.user, self.login.expires = found.user, found.expires
        self.renew()

    def renew(self) -> None:
        """Take note of the user that its login, or its connection, has from now on."""
        scope = self.consumer.__dict__.get("scope")
        if scope is not None:
            scope["user"] = self.user
        self.note_user()

    def set_user(self, user: Any, expires: datetime | float | None = None) -> None:
        """Be a user's, whom the site's code knows."""
        self.log_in(Login(user, expires))
