"""A Channels consumer of the site's own, which lives on the same channel layer as Realtime."""

from __future__ import annotations

from typing import Any

from channels.generic.websocket import AsyncJsonWebsocketConsumer

import realtime


class GroupConsumer(AsyncJsonWebsocketConsumer):
    """
    A socket in the group that its route names.

    It gets what is sent to the group, as ``{"said": ...}``, and sends there what it gets as
    ``{"say": ...}``; ``{"emit": ...}`` goes to the clients of "/cluster" in the room of that name.
    """

    async def connect(self) -> None:
        self.group = self.scope["url_route"]["kwargs"]["group"]
        await self.channel_layer.group_add(self.group, self.channel_name)
        await self.accept()

    async def disconnect(self, code: int) -> None:
        await self.channel_layer.group_discard(self.group, self.channel_name)

    async def receive_json(self, content: Any, **kwargs: Any) -> None:
        if "emit" in content:
            await realtime.of("/cluster").to(self.group).emit("said", content["emit"])
        if "say" in content:
            await self.channel_layer.group_send(
                self.group, {"type": "group.said", "said": content["say"]}
            )

    async def group_said(self, message: dict[str, Any]) -> None:
        await self.send_json({"said": message["said"]})
