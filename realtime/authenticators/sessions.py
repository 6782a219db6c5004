"""Django's sessions: what is asked by default."""

from __future__ import annotations

from typing import Any

from ..identity.credentials import Credentials


def session(credentials: Credentials) -> Any:
    """Return the user of the client's session, or of the site's own middleware, if there is one."""
    user = credentials.user
    return user if getattr(user, "is_authenticated", False) else None
