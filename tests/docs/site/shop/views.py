import realtime
from django.shortcuts import get_object_or_404, redirect

from .consumers import OrderConsumer
from .models import Order


def ship(request, pk):
    order = get_object_or_404(Order, pk=pk)
    order.ship()
    realtime.of(OrderConsumer, pk=pk).to("watchers").emit("shipped", {"at": order.shipped_at})
    return redirect(order)
