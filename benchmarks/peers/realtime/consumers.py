"""What each server under test does: join a room, send to a room, echo."""

from __future__ import annotations

from typing import Any

import msgspec

from realtime import NamespaceConsumer, event


class Item(msgspec.Struct):
    """What the typed handler is given."""

    id: int
    name: str
    tags: list[str]


class BenchConsumer(NamespaceConsumer):
    """The one consumer of all benchmarks."""

    @event("join")
    async def join_room(self, room):  # type: ignore[no-untyped-def]
        self.join(room)

    @event
    async def publish(self, room, data):  # type: ignore[no-untyped-def]
        self.everyone.to(room).emit("news", data)

    @event
    async def echo(self, data):  # type: ignore[no-untyped-def]
        return data

    @event
    async def typed(self, item: Item) -> str:
        return item.name

    @event
    async def untyped(self, item: Any):  # type: ignore[no-untyped-def]
        return item["name"]
