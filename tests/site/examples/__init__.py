"""
What the official Socket.IO examples serve, written for Realtime from what they do in a browser:
each is a namespace, and uses the public API alone.
"""

from __future__ import annotations

from django.urls import path

from .chat import ChatConsumer
from .messaging import MessagingConsumer
from .todos import TodoConsumer
from .whiteboard import WhiteboardConsumer

namespaces = [
    path("chat/", ChatConsumer.as_asgi()),
    path("messaging/", MessagingConsumer.as_asgi()),
    path("todos/", TodoConsumer.as_asgi()),
    path("whiteboard/", WhiteboardConsumer.as_asgi()),
]
