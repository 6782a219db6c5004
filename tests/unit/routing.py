"""The namespaces of these tests."""

from __future__ import annotations

from django.urls import path

from .consumers import OrderConsumer, RoomsConsumer

namespaces = [
    path("", RoomsConsumer.as_asgi()),
    path("users/", RoomsConsumer.as_asgi()),
    path("orders/<int:pk>/", OrderConsumer.as_asgi()),
]
