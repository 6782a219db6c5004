"""
Private messages: a user has a name, an id that all tabs and visits share, and a secret session by
which it comes back. Who is offline finds the messages later.
"""

from __future__ import annotations

from secrets import token_hex
from typing import Annotated, Any

from django.core.cache import cache
from msgspec import Meta

import realtime
from realtime import ConnectionRefused, NamespaceConsumer, event

Text = Annotated[str, Meta(min_length=1, max_length=1000)]


class MessagingConsumer(NamespaceConsumer):
    """The namespace "/messaging"."""

    async def connect(self, auth: dict[str, Any]) -> None:
        session = await cache.aget(f"session {auth.get('sessionID')}")
        if session is None:
            name = auth.get("username")
            if not isinstance(name, str) or not name:
                raise ConnectionRefused("invalid username")
            session = {"sessionID": token_hex(8), "userID": token_hex(8), "username": name}
            await cache.aset(f"session {session['sessionID']}", session)
        self.data["id"] = session["userID"]
        public = {"userID": session["userID"], "username": session["username"]}
        self.join(session["userID"])
        self.share(**public)
        await self._remember(public)
        self.emit("session", {"sessionID": session["sessionID"], "userID": session["userID"]})
        self.emit("users", await self._list_users())
        self.broadcast.emit("user connected", public | {"connected": True, "messages": []})

    async def disconnect(self, reason: str) -> None:
        if not await realtime.of(type(self)).to(self.data["id"]).acount():
            self.broadcast.emit("user disconnected", self.data["id"])

    @event("private message")
    async def private_message(self, content: Text, to: str) -> None:
        message = {"content": content, "from": self.data["id"], "to": to}
        self.to(to, self.data["id"]).emit("private message", message)
        for user in {to, self.data["id"]}:
            kept = await cache.aget(f"messages {user}", [])
            await cache.aset(f"messages {user}", [*kept, message])

    async def _remember(self, user: dict[str, str]) -> None:
        users = await cache.aget("users", {})
        await cache.aset("users", users | {user["userID"]: user})

    async def _list_users(self) -> list[dict[str, Any]]:
        """Return all users, with the messages between each and this one."""
        sockets = realtime.of(type(self)).sockets()
        online = {each async for each in sockets.values_list("data__userID", flat=True)}
        mine = await cache.aget(f"messages {self.data['id']}", [])
        return [
            user
            | {
                "connected": key in online or key == self.data["id"],
                "messages": [each for each in mine if key in (each["from"], each["to"])],
            }
            for key, user in (await cache.aget("users", {})).items()
        ]
