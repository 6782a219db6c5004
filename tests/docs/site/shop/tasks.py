import realtime
from celery import shared_task

from .consumers import OrderConsumer
from .models import Order


@shared_task
def bill(order_pk):
    Order.objects.filter(pk=order_pk).update(status="billed")
    realtime.of(OrderConsumer, pk=order_pk).emit("billed")
