"""
Who a client is, by what it shows: what ``REALTIME["AUTHENTICATORS"]`` may name.

Each is called with `Credentials`, and returns None where it knows nothing of them, a user, or a
user and when that ends. It raises AuthenticationFailed for what is wrong. Each imports its package
when it is called.
"""

from __future__ import annotations

from ..exceptions import AuthenticationFailed
from ..identity.credentials import Credentials
from .allauth_sessions import allauth
from .drf_tokens import drf_token
from .knox_tokens import knox
from .sessions import session
from .signed_tokens import sign, signed
from .simple_jwt import simplejwt

__all__ = [
    "AuthenticationFailed",
    "Credentials",
    "allauth",
    "drf_token",
    "knox",
    "session",
    "sign",
    "signed",
    "simplejwt",
]
