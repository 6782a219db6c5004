"""The application of a site with Channels consumers beside Realtime's."""

from __future__ import annotations

from channels.routing import URLRouter
from django.urls import path

from realtime.asgi import get_application

from .groups import GroupConsumer

application = get_application(
    websocket=URLRouter([path("channels/<str:group>/", GroupConsumer.as_asgi())])
)
