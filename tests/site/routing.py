"""The demo's namespaces, and those of `tests.site.consumers`."""

from __future__ import annotations

from django.urls import path

from project.routing import namespaces as demo

from .authority import GuardedConsumer, MembersConsumer, RightsConsumer, ViewersConsumer
from .cluster import ClusterConsumer
from .consumers import ConformanceConsumer, LabConsumer, RefusedConsumer, TypedConsumer
from .faults import BrokenConsumer, FaultsConsumer
from .once import ShopConsumer
from .recovery import DriverConsumer, RecoveryConsumer

namespaces = [
    *demo,
    path("lab/", LabConsumer.as_asgi()),
    path("refused/", RefusedConsumer.as_asgi()),
    path("cluster/", ClusterConsumer.as_asgi()),
    path("typed/<int:pk>/", TypedConsumer.as_asgi()),
    path("faults/", FaultsConsumer.as_asgi()),
    path("broken/", BrokenConsumer.as_asgi()),
    path("shop/", ShopConsumer.as_asgi()),
    path("recovery/", RecoveryConsumer.as_asgi()),
    path("recovery/<slug:name>/", RecoveryConsumer.as_asgi()),
    path("recovery-driver/", DriverConsumer.as_asgi()),
    path("members/", MembersConsumer.as_asgi()),
    path("guarded/", GuardedConsumer.as_asgi()),
    path("viewers/", ViewersConsumer.as_asgi()),
    path("rights/", RightsConsumer.as_asgi()),
]

# A site of its own, with what the official protocol test suites expect of a server.
conformance = [
    path("", ConformanceConsumer.as_asgi()),
    path("custom/", ConformanceConsumer.as_asgi()),
]
