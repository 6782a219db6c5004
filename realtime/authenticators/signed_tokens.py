"""
Signed tokens of our own, for pages of another origin and for programs that a site starts: nothing
is stored, a new password ends them, and so does their time.
"""

from __future__ import annotations

import hashlib
import math
import time
from datetime import datetime, timedelta
from typing import Any

from django.core.signing import BadSignature, Signer
from django.utils import timezone
from django.utils.crypto import constant_time_compare

from ..exceptions import AuthenticationFailed
from ..identity.credentials import Credentials

# How each of them begins: no other kind of token does.
_START = "signed."

# What stands in a token, but for a character that a WebSocket's subprotocol cannot have.
_SEPARATOR = "."

DEFAULT_EXPIRES = 3_600


def sign(
    user: Any, expires: float | timedelta | datetime = DEFAULT_EXPIRES, namespace: str | None = None
) -> str:
    """
    Return a token by which a client comes in as a user, where `signed` is an authenticator.

    It `expires` after so many seconds or a timedelta, or at a time. With a `namespace`, such as
    "/orders/7", it is good for that one alone. A new password ends it, and an account that is not
    active.

    Raises ValueError for a user who is nobody, for an end that is past, and for a `namespace` that
    does not start with a slash; TypeError for values of another kind.
    """
    if getattr(user, "pk", None) is None or not hasattr(user, "get_session_auth_hash"):
        raise ValueError(f"{user!r} is no user with a primary key and a password to sign for.")
    if namespace is not None and not namespace.startswith("/"):
        raise ValueError(f'A namespace starts with a slash, like "/orders/7", not {namespace!r}.')
    key = user._meta.pk.value_to_string(user)
    told = [key, _digest(user.get_session_auth_hash()), _end_of(expires), namespace]
    return _START + _signer().sign_object(told)


def signed(credentials: Credentials) -> Any:
    """
    Return the user of a token of `sign`, shown as "Bearer", and when that expires.

    Raises AuthenticationFailed.
    """
    token = credentials.token("Bearer")
    if token is None or not is_signed(token):
        return None
    try:
        key, digest, end, namespace = _signer().unsign_object(token.removeprefix(_START))
    except BadSignature:
        raise AuthenticationFailed("the token is not valid") from None
    if end <= time.time():
        raise AuthenticationFailed("the token has expired")
    if namespace not in (None, credentials.namespace):
        raise AuthenticationFailed("the token is for another namespace")
    user = _find_user(key)
    if user is None or not user.is_active or not _is_password_of(user, digest):
        raise AuthenticationFailed("the token is not valid any more")
    return user, end


def is_signed(token: str) -> bool:
    """Tell whether a token is one of ours, valid or not."""
    return token.startswith(_START)


def _signer() -> Signer:
    return Signer(sep=_SEPARATOR, salt="realtime.authenticators.signed")


def _find_user(key: str) -> Any:
    from django.contrib.auth import get_user_model  # noqa: PLC0415

    model: Any = get_user_model()
    return model._default_manager.filter(pk=model._meta.pk.to_python(key)).first()


def _is_password_of(user: Any, digest: str) -> bool:
    """Tell whether a user's password is that of the token, also under older secret keys."""
    hashes = [user.get_session_auth_hash(), *user.get_session_auth_fallback_hash()]
    return any(constant_time_compare(digest, _digest(each)) for each in hashes)


def _digest(auth_hash: str) -> str:
    """Return what tells passwords apart. Who has the token must not learn the hash."""
    return hashlib.sha256(auth_hash.encode()).hexdigest()[:32]


def _end_of(expires: float | timedelta | datetime) -> int:
    if isinstance(expires, datetime):
        end = (timezone.make_aware(expires) if timezone.is_naive(expires) else expires).timestamp()
    elif isinstance(expires, timedelta):
        end = time.time() + expires.total_seconds()
    elif isinstance(expires, int | float) and not isinstance(expires, bool):
        end = time.time() + expires
    else:
        raise TypeError(f"expires is seconds, a timedelta or a datetime, not {expires!r}.")
    if not (math.isfinite(end) and end > time.time()):
        raise ValueError(f"A token that expires is one for some time yet, not {expires!r}.")
    return math.ceil(end)
