from realtime import EventError, NamespaceConsumer, event

from .models import Message


class OrderConsumer(NamespaceConsumer):  # one instance is one client in one namespace
    login_required = True  # or permission_required, or has_permission()

    async def connect(self, auth):
        self.join("watchers")
        self.emit("message", "I'm server")  # a plain call: nothing to await

    @event  # the method's name is the event's name
    async def rename(self, name: str) -> dict:  # arguments are checked
        self.to("watchers").emit("renamed", name)
        return {"ok": True}  # what is returned is the acknowledgement

    @event("private message")  # a plain def runs in a thread: use the ORM
    def private_message(self, text: str):
        if not text:
            raise EventError("an empty message")
        Message.objects.create(order_id=self.kwargs["pk"], text=text)

    async def disconnect(self, reason):
        self.to("watchers").emit("left", self.sid)
