from realtime import ConnectionRefused, NamespaceConsumer, event
from shop.models import Device


class MainConsumer(NamespaceConsumer):
    async def connect(self, auth):
        self.emit("message", "I'm server")

    @event
    async def greet(self, name: str) -> str:
        return f"Hello, {name}"


class AccountConsumer(NamespaceConsumer):
    async def connect(self, auth):
        if not self.user.is_authenticated:
            raise ConnectionRefused("log in first", code=401)


class ChatConsumer(NamespaceConsumer):
    async def connect(self, auth):
        self.join("lobby")


class DeviceConsumer(NamespaceConsumer):
    def connect(self, auth):
        device = Device.objects.filter(token=str(auth.get("token", ""))).first()
        if device is None:
            raise ConnectionRefused("unknown token")
        self.data["device"] = device.pk
