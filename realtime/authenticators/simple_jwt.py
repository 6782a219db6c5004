"""The access tokens of djangorestframework-simplejwt."""

from __future__ import annotations

from typing import Any

from ..identity.credentials import Credentials
from .drf_tokens import find_class, opaque_token, refusals


def simplejwt(credentials: Credentials) -> Any:
    """
    Return the user of an access token, shown by one of AUTH_HEADER_TYPES ("Bearer"), and when that
    expires.

    A subclass of JWTAuthentication, such as JWTStatelessUserAuthentication, is used where it is
    among the DEFAULT_AUTHENTICATION_CLASSES. Raises AuthenticationFailed.
    """
    from rest_framework_simplejwt.authentication import (  # noqa: PLC0415
        AUTH_HEADER_TYPES,
        JWTAuthentication,
    )

    token = opaque_token(credentials, *AUTH_HEADER_TYPES)
    if token is None:
        return None
    authentication = find_class(JWTAuthentication)()
    with refusals():
        validated = authentication.get_validated_token(token.encode())
        user = authentication.get_user(validated)
    return user, validated.get("exp")
