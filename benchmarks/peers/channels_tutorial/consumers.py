"""The same as the other servers do, in plain Channels."""

from __future__ import annotations

from typing import Any

from channels.generic.websocket import AsyncJsonWebsocketConsumer


class BenchConsumer(AsyncJsonWebsocketConsumer):  # type: ignore[misc]
    """Rooms are groups, and a message to a group reaches each consumer through the layer."""

    async def connect(self) -> None:
        self.rooms: set[str] = set()
        await self.accept()
        await self.send_json({"connected": self.channel_name})

    async def disconnect(self, code: int) -> None:
        for room in self.rooms:
            await self.channel_layer.group_discard(room, self.channel_name)

    async def receive_json(self, content: dict[str, Any], **kwargs: Any) -> None:
        args = content["args"]
        if content["event"] == "publish":
            room, data = args
            await self.channel_layer.group_send(room, {"type": "news", "data": data})
        elif content["event"] == "echo":
            await self.send_json({"ack": content["id"], "args": args})
        elif content["event"] == "join":
            self.rooms.add(args[0])
            await self.channel_layer.group_add(args[0], self.channel_name)
            await self.send_json({"ack": content["id"], "args": []})

    async def news(self, message: dict[str, Any]) -> None:
        await self.send_json({"event": "news", "args": [message["data"]]})
