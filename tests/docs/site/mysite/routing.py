from django.urls import path

from shop.consumers import OrderConsumer

from .consumers import AccountConsumer, ChatConsumer, DeviceConsumer, MainConsumer
from .desk import DeskConsumer
from .meters import MeterConsumer
from .orders import OrdersConsumer
from .till import TillConsumer

namespaces = [
    path("", MainConsumer.as_asgi()),
    path("account/", AccountConsumer.as_asgi()),
    path("chat/", ChatConsumer.as_asgi()),
    path("desk/", DeskConsumer.as_asgi()),
    path("devices/", DeviceConsumer.as_asgi()),
    path("meters/", MeterConsumer.as_asgi()),
    path("orders/", OrdersConsumer.as_asgi()),
    path("orders/<int:pk>/", OrderConsumer.as_asgi()),
    path("till/", TillConsumer.as_asgi()),
]
