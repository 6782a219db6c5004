"""Who a client is: only the same user, in the same login, comes back."""

from __future__ import annotations

from typing import Any, NamedTuple

from django.utils.crypto import salted_hmac


class Identity(NamedTuple):
    """The primary key of a client's user, and what tells that user's logins apart."""

    user: str | None
    login: str | None


NOBODY = Identity(None, None)


def identify(scope: dict[str, Any]) -> Identity | None:
    """
    Return who a client is; None where that cannot be told, and who may be anybody.

    Another login of the same user is somebody else: a logout, and a change of the password, end
    what was before. Somebody who is nobody has nothing that could be over.
    """
    try:
        return _identify(scope.get("user"), scope.get("session"))
    except Exception:  # of a lazy user, who cannot be looked up here, or a site's own class
        return None


def identify_exactly(scope: dict[str, Any]) -> str | None:
    """
    Return a text that says who a client is, and by which session: that of somebody who is nobody
    counts as well, since views and consumers keep things in it. None where that cannot be told.
    """
    identity = identify(scope)
    if identity is None:
        return None
    key = getattr(scope.get("session"), "session_key", None)
    return salted_hmac("realtime.upgrade", repr((*identity, key)), algorithm="sha256").hexdigest()


def _identify(user: Any, session: Any) -> Identity | None:
    key = getattr(user, "pk", None)
    if key is None:
        return NOBODY if user is None or user.is_authenticated is False else None
    login = getattr(session, "session_key", None)
    if login is None and hasattr(user, "get_session_auth_hash"):
        # Middleware of the site's own knows the user: what is left to see is a changed password.
        login = user.get_session_auth_hash()
    # Not the key of the session, which is a secret itself: other servers are told this.
    digest = salted_hmac("realtime.recovery", str(login), algorithm="sha256").hexdigest()
    return Identity(str(key), digest[:32])
