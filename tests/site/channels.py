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

# Realtime as a part of the site's own router, with the site's middleware around it.
mounted = ProtocolTypeRouter(
    {
        "http": plain,
        "websocket": AuthMiddlewareStack(get_application(websocket=own)),
    }
)
