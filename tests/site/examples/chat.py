"""The chat: who adds a name to itself is counted, and all others see what it says and types."""

from __future__ import annotations

import realtime
from realtime import NamespaceConsumer, event


class ChatConsumer(NamespaceConsumer):
    """The namespace "/chat"."""

    async def disconnect(self, reason: str) -> None:
        if "username" in self.shared:
            await self._tell_others("user left")

    @event("new message")
    async def new_message(self, text: str) -> None:
        self.broadcast.emit("new message", {"username": self._name, "message": text})

    @event("add user")
    async def add_user(self, username: str) -> None:
        if "username" in self.shared:
            return
        await self.share(username=username)
        self.emit("login", {"numUsers": await self._count()})
        await self._tell_others("user joined")

    @event("typing")
    async def typing(self) -> None:
        self.broadcast.emit("typing", {"username": self._name})

    @event("stop typing")
    async def stop_typing(self) -> None:
        self.broadcast.emit("stop typing", {"username": self._name})

    async def _tell_others(self, what: str) -> None:
        self.broadcast.emit(what, {"username": self._name, "numUsers": await self._count()})

    @property
    def _name(self) -> str:
        return str(self.shared.get("username", ""))

    async def _count(self) -> int:
        named = realtime.of(type(self)).sockets().filter(data__has_key="username")
        return await named.acount()
