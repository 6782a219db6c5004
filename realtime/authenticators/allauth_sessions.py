"""The session tokens of django-allauth's headless API, as apps have them."""

from __future__ import annotations

from typing import Any

from ..exceptions import AuthenticationFailed
from ..identity.credentials import Credentials

# Where apps show the token: as they do in requests, and beside other tokens of `auth`.
HEADER, KEY = "X-Session-Token", "session_token"


def allauth(credentials: Credentials) -> Any:
    """
    Return the user of a session token, and when that session expires.

    It is shown in the header ``X-Session-Token``, or as ``auth["session_token"]``. Raises
    AuthenticationFailed, also for the session of somebody who has not logged in.
    """
    token = credentials.secret(KEY, HEADER)
    if token is None:
        return None
    from allauth.headless.internal.sessionkit import (  # noqa: PLC0415
        authenticate_by_x_session_token,
    )

    found = authenticate_by_x_session_token(token)
    if found is None or found.user is None:
        raise AuthenticationFailed
    return found.user, _end_of(found.session)


def _end_of(session: Any) -> Any:
    """Return when a session ends: a row says it; otherwise it lasts so long from its last use."""
    get_model = getattr(session, "get_model_class", None)
    if get_model is None:
        return session.get_expiry_date()
    rows = get_model().objects.filter(session_key=session.session_key)
    return rows.values_list("expire_date", flat=True).first()
