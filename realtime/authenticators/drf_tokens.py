"""The tokens of Django REST framework, and what all of its ways to authenticate have in common."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..exceptions import AuthenticationFailed
from ..identity.credentials import Credentials
from .signed_tokens import is_signed


def drf_token(credentials: Credentials) -> Any:
    """
    Return the user of a token of ``rest_framework.authtoken``, shown as "Token".

    A subclass of its TokenAuthentication, with a keyword or model of its own, is used where it is
    among the DEFAULT_AUTHENTICATION_CLASSES. Raises AuthenticationFailed.
    """
    from rest_framework.authentication import TokenAuthentication  # noqa: PLC0415

    authentication = find_class(TokenAuthentication)()
    token = opaque_token(credentials, authentication.keyword)
    if token is None:
        return None
    with refusals():
        user, _ = authentication.authenticate_credentials(token)
    return user


def find_class(base: type) -> Any:
    """Return the class by which the site's HTTP API authenticates, if it is one of these."""
    from rest_framework.settings import api_settings  # noqa: PLC0415

    classes = api_settings.DEFAULT_AUTHENTICATION_CLASSES
    return next((each for each in classes if issubclass(each, base)), base)


def opaque_token(credentials: Credentials, *schemes: str) -> str | None:
    """Return the token that a client shows, where it is none of our own signed ones."""
    token = credentials.token(*schemes)
    return None if token is None or is_signed(token) else token


@contextmanager
def refusals() -> Iterator[None]:
    """Raise AuthenticationFailed where Django REST framework would refuse a request."""
    from rest_framework import exceptions  # noqa: PLC0415

    try:
        yield
    except (exceptions.AuthenticationFailed, exceptions.PermissionDenied) as error:
        raise AuthenticationFailed(_say(error.detail)) from None


def _say(detail: Any) -> str:
    """Return what a refusal says to people; beside that it may have facts for programs."""
    if isinstance(detail, dict):
        detail = detail.get("detail", AuthenticationFailed.default_message)
    return str(detail)
