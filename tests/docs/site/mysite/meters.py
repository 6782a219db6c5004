import asyncio

from realtime import EventError, NamespaceConsumer, event
from shop.models import Device


class MeterConsumer(NamespaceConsumer):
    patience = 10  # seconds within which the first message has to be there

    async def connect(self, auth):
        loop = asyncio.get_running_loop()
        self.timer = loop.call_later(self.patience, self.close)
        if "device" in self.data:  # it has come back, and is known
            self.timer.cancel()

    async def handle(self, name, args):
        if name != "authenticate" and "device" not in self.data:
            raise EventError("say who you are first", code="unauthenticated")
        return await super().handle(name, args)

    @event
    async def authenticate(self, token: str):
        device = await Device.objects.filter(token=token).afirst()
        if device is None:
            self.close()
            return None
        self.timer.cancel()
        self.data["device"] = device.pk
        self.join("meters")  # from now on it gets what is for all meters
        return {"ok": True}

    @event
    async def reading(self, value: float):
        return {"device": self.data["device"], "value": value}

    async def disconnect(self, reason):
        self.timer.cancel()
