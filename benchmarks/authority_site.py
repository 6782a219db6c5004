"""The namespaces of `benchmarks.authority`."""

from __future__ import annotations

from django.urls import path

from realtime import NamespaceConsumer


class Viewers(NamespaceConsumer):
    """For users who may view sockets."""

    permission_required = "realtime.view_socket"


namespaces = [path("", Viewers.as_asgi())]
