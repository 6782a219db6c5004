"""The site's ASGI application."""

# ruff: noqa: E402 - Django is set up before what needs it is imported

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "benchmarks.peers.channels_tutorial.settings")

from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from django.core.asgi import get_asgi_application
from django.urls import path

django = get_asgi_application()

from .consumers import BenchConsumer

application = ProtocolTypeRouter(
    {
        "http": django,
        "websocket": AuthMiddlewareStack(URLRouter([path("ws/", BenchConsumer.as_asgi())])),
    }
)
