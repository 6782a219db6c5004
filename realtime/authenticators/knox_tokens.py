"""The tokens of django-rest-knox."""

from __future__ import annotations

from typing import Any

from ..identity.credentials import Credentials
from .drf_tokens import find_class, opaque_token, refusals


def knox(credentials: Credentials) -> Any:
    """
    Return the user of a token, shown by AUTH_HEADER_PREFIX ("Token"), and when that expires.

    A subclass of its TokenAuthentication is used where it is among the
    DEFAULT_AUTHENTICATION_CLASSES. Raises AuthenticationFailed.
    """
    from knox.auth import TokenAuthentication  # noqa: PLC0415
    from knox.settings import knox_settings  # noqa: PLC0415

    token = opaque_token(credentials, knox_settings.AUTH_HEADER_PREFIX)
    if token is None:
        return None
    with refusals():
        user, issued = find_class(TokenAuthentication)().authenticate_credentials(token.encode())
    return user, issued.expiry
