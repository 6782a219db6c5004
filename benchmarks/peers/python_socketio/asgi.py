"""The same as the other servers do, in python-socketio. BENCH_REDIS adds its client manager."""

from __future__ import annotations

import os
from typing import Any

import socketio

redis = os.environ.get("BENCH_REDIS")
server = socketio.AsyncServer(
    async_mode="asgi",
    client_manager=socketio.AsyncRedisManager(redis) if redis else None,
)
application = socketio.ASGIApp(server)


@server.on("join")  # type: ignore[untyped-decorator]
async def join(sid: str, room: str) -> None:
    await server.enter_room(sid, room)


@server.on("publish")  # type: ignore[untyped-decorator]
async def publish(sid: str, room: str, data: Any) -> None:
    await server.emit("news", data, room=room)


@server.on("echo")  # type: ignore[untyped-decorator]
async def echo(sid: str, data: Any) -> Any:
    return data
