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
    return found.user, found.session.get_expiry_date()
