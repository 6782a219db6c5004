from realtime import ClientRooms, NamespaceConsumer
from shop.models import Order


class OrdersConsumer(ClientRooms, NamespaceConsumer):
    login_required = True

    def may_join(self, room):
        kind, _, pk = room.partition(" ")
        orders = Order.objects.filter(owner=self.user)
        return kind == "order" and pk.isdecimal() and orders.filter(pk=pk).exists()
