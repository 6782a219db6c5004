"""The same as the other servers do, in django-sio."""

from __future__ import annotations

from typing import Any

from sio import SocketIOConsumer


class BenchConsumer(SocketIOConsumer):  # type: ignore[misc]
    """The one consumer of all benchmarks."""

    async def connect(self, socket: Any, auth: Any) -> bool:
        return True

    async def event_join(self, socket: Any, room: str) -> None:
        await socket.join(room)

    async def event_publish(self, socket: Any, room: str, data: Any) -> None:
        await socket.server.emit("news", data, room=room)

    async def event_echo(self, socket: Any, data: Any, ack: Any = None) -> None:
        await ack(data)
