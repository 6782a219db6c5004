"""Namespaces for clients with tokens, and one that issues and revokes these."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
from django.urls import path
from knox.models import AuthToken
from rest_framework.authentication import TokenAuthentication
from rest_framework.authtoken.models import Token
from rest_framework_simplejwt.tokens import AccessToken

import realtime
from realtime import AuthenticationFailed, NamespaceConsumer, event
from realtime.authenticators import Credentials, sign


class DeviceTokens(TokenAuthentication):  # type: ignore[misc]
    """A site's own keyword."""

    keyword = "Api-Key"


async def from_device(credentials: Credentials) -> Any:
    """Return the user of a device, which is asked for without threads."""
    token = credentials.token("Device")
    if token is None:
        return None
    if token == "broken":
        raise RuntimeError("no devices today")
    user = await User.objects.filter(username=f"{credentials.namespace} {token}").afirst()
    if user is None:
        raise AuthenticationFailed("no such device", {"help": "/devices"})
    return user


class OpenConsumer(NamespaceConsumer):
    """The namespaces "/" and "/open": for everybody."""

    @event
    async def whoami(self) -> str:
        return str(self.user.get_username())

    @event
    async def recovery(self) -> bool:
        return self.recovered

    async def unauthorized(self) -> None:
        self.emit("unauthorized", self.user.get_username())


class MembersConsumer(OpenConsumer):
    """The namespace "/members": for users."""

    login_required = True


class IssuerConsumer(NamespaceConsumer):
    """The namespace "/issuer": makes users, and gives and takes what lets them in."""

    @event("new user")
    def new_user(self, name: str) -> int:
        return User.objects.create_user(name, password="first").pk

    @event
    def issue(self, kind: str, name: str, seconds: float = 3600) -> str:
        """Return a token of a kind, which lasts for so long."""
        user = User.objects.get(username=name)
        if kind == "signed":
            return sign(user, seconds, "/members")
        if kind == "drf_token":
            return str(Token.objects.get_or_create(user=user)[0].key)
        if kind == "simplejwt":
            token = AccessToken.for_user(user)
            token.set_exp(lifetime=timedelta(seconds=seconds))
            return str(token)
        if kind == "knox":
            return str(AuthToken.objects.create(user, timedelta(seconds=seconds))[1])
        session = SessionStore()
        session[SESSION_KEY] = str(user.pk)
        session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
        session[HASH_SESSION_KEY] = user.get_session_auth_hash()
        session.set_expiry(int(seconds))
        session.save()
        return str(session.session_key)

    @event
    def revoke(self, kind: str, name: str) -> None:
        """Let the tokens of a user be good no more."""
        user = User.objects.get(username=name)
        if kind == "drf_token":
            Token.objects.filter(user=user).delete()
        elif kind == "knox":
            AuthToken.objects.filter(user=user).delete()
        elif kind == "password":
            user.set_password("second")
            user.save()
        else:
            user.is_active = False
            user.save()

    @event("where is")
    async def where_is(self, pk: int) -> list[str]:
        """Return the sids of a user, as the database knows them."""
        sockets = realtime.of("/members").sockets().filter(user_id=pk)
        return sorted([socket.sid async for socket in sockets])

    @event("tell user")
    async def tell_user(self, pk: int, *args: Any) -> None:
        realtime.of("/members").to_user(pk).emit("said", *args)


namespaces = [
    path("", OpenConsumer.as_asgi()),
    path("open/", OpenConsumer.as_asgi()),
    path("members/", MembersConsumer.as_asgi()),
    path("issuer/", IssuerConsumer.as_asgi()),
]
