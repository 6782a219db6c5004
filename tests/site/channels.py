"""ASGI applications of sites that have Channels routes of their own."""

from __future__ import annotations

from typing import Any

from channels.auth import AuthMiddlewareStack
from channels.generic.websocket import AsyncJsonWebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from django.urls import path

from realtime.asgi import get_application


class OwnConsumer(AsyncJsonWebsocketConsumer):
    """A consumer of Channels' own kind, which sends back what it gets."""

    async def receive_json(self, content: Any, **kwargs: Any) -> None:
        await self.send_json({"user": self.scope["user"].get_username(), "content": content})


# Before the routes: it sets Django up, which Channels' authentication needs.
plain = get_application()

own = AuthMiddlewareStack(URLRouter([path("own/", OwnConsumer.as_asgi())]))

# The site's routes behind Realtime.
behind = get_application(websocket=own)

# Routes where plain WebSockets are: one that no namespace has, and one that a namespace has too.
beside = get_application(
    websocket=AuthMiddlewareStack(
        URLRouter([path("ws/own/", OwnConsumer.as_asgi()), path("ws/lab/", OwnConsumer.as_asgi())])
    )
)


class Somebody:
    """A user of a token, without a row in the database."""

    is_authenticated = True
    pk = 12345

    def get_username(self) -> str:
        return "somebody"


class Tokens:
    """Middleware that finds a user without a database, and sets no session."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] in ("http", "websocket"):
            scope = {**scope, "user": Somebody()}
        await self.app(scope, receive, send)


# Middleware around one of the two ways, and around both.
half = ProtocolTypeRouter({"http": plain, "websocket": Tokens(plain)})
whole = Tokens(plain)

# Realtime as a part of the site's own router, with the site's middleware around it.
mounted = ProtocolTypeRouter(
    {
        "http": plain,
        "websocket": AuthMiddlewareStack(get_application(websocket=own)),
    }
)
