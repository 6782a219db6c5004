from django.db import transaction
from realtime import EventError, NamespaceConsumer, event
from shop.models import Order


class TillConsumer(NamespaceConsumer):
    @event(once="key")
    def order(self, key: str, text: str) -> dict:
        if not text:
            raise EventError("nothing to order", code="empty")
        with transaction.atomic():
            order = Order.objects.create()
            order.message_set.create(text=text)
        return {"order": order.pk}
