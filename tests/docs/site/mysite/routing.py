from django.urls import path

from shop.consumers import OrderConsumer

from .consumers import AccountConsumer, ChatConsumer, MainConsumer

namespaces = [
    path("", MainConsumer.as_asgi()),
    path("account/", AccountConsumer.as_asgi()),
    path("chat/", ChatConsumer.as_asgi()),
    path("orders/<int:pk>/", OrderConsumer.as_asgi()),
]
