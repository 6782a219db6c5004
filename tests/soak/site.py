"""The site of the simulated day."""

from __future__ import annotations

import asyncio
from typing import Any

from django.urls import path

from realtime import ConnectionRefused, EventError, NamespaceConsumer, event


class DayConsumer(NamespaceConsumer):
    """Everything that a consumer does, in little."""

    rate_limits = {"limited": "1/h"}

    async def connect(self, auth: dict[str, Any]) -> None:
        if auth.get("refuse"):
            raise ConnectionRefused("not today", {"code": 403})
        self.join("all", *auth.get("rooms", ()))
        self.emit("welcome", self.sid)

    @event
    async def say(self, room: str, *args: Any) -> int:
        self.to(room).emit("said", *args)
        return len(args)

    @event
    async def move(self, room: str) -> None:
        self.join(room)
        self.leave(room)

    @event
    def block(self, text: str) -> str:
        return text

    @event
    async def ask(self, timeout: float) -> Any:
        return await self.acall("question", timeout=timeout)

    @event
    async def slow(self) -> None:
        await asyncio.sleep(10)

    @event
    async def fail(self) -> None:
        raise EventError("no", {"why": "it fails"})

    @event
    async def limited(self) -> None:
        """Is allowed seldom."""

    async def receive(self, event: str, *args: Any) -> None:
        self.broadcast.volatile().emit("unclaimed", event)

    async def disconnect(self, reason: str) -> None:
        self.everyone.to("all").emit("left", reason)


namespaces = [path("", DayConsumer.as_asgi()), path("orders/<int:pk>/", DayConsumer.as_asgi())]
