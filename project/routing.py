"""The demo's namespaces."""

from django.urls import path

from .consumers import AccountConsumer, MainConsumer, QuietConsumer

namespaces = [
    path("", MainConsumer.as_asgi()),
    path("account/", AccountConsumer.as_asgi()),
    path("your-namespace1/", QuietConsumer.as_asgi()),
    path("your-namespace2/", QuietConsumer.as_asgi()),
    path("users/", QuietConsumer.as_asgi()),
    path("orders/", QuietConsumer.as_asgi()),
]
