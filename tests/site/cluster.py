"""What tests of several processes do through a consumer: the module-level API, inside a server."""

from __future__ import annotations

from typing import Any

import realtime
from realtime import Broadcaster, NamespaceConsumer, event
from realtime.hub import get_hub


def choose(rooms: list[str], excluded: list[str]) -> Broadcaster:
    """Return the sockets of "/cluster" in the rooms, without the excluded ones."""
    return realtime.of("/cluster").to(*rooms).excluding(*excluded)


class ClusterConsumer(NamespaceConsumer):
    """The namespace "/cluster"."""

    async def connect(self, auth: Any) -> None:
        self.join(*auth.get("rooms", []))
        if "say" in auth:
            self.broadcast.emit("said", auth["say"])

    @event("join")
    async def enter(self, *rooms: str) -> None:
        self.join(*rooms)

    @event("leave")
    async def exit(self, *rooms: str) -> None:
        self.leave(*rooms)

    @event("emit to")
    async def emit_to(self, rooms: list[str], excluded: list[str], *args: Any) -> None:
        choose(rooms, excluded).emit("said", *args)

    @event("say to others")
    async def say_to_others(self, room: str, *args: Any) -> None:
        self.to(room).emit("said", *args)

    @event
    async def burst(self, room: str, first: int, last: int) -> None:
        """Emit the numbers from `first` to `last`, each in a message of its own."""
        for number in range(first, last):
            self.namespace.to(room).emit("number", number)

    @event("move")
    async def move(self, rooms: list[str], action: str, *names: str) -> None:
        """Let a room's sockets join or leave rooms, and wait until that is in effect."""
        await getattr(choose(rooms, []), action)(*names)

    @event("move and say")
    async def move_and_say(self, room: str, name: str, text: str) -> None:
        """Let a room's sockets join another room, and at once say something there."""
        choose([room], []).join(name)
        choose([name], []).emit("said", text)

    @event("ask room")
    async def ask_room(self, rooms: list[str], question: str, timeout: float) -> Any:
        answers = await choose(rooms, []).acall("question", question, timeout=timeout)
        return dict(answers), sorted(answers.missing)

    @event("wait for peers")
    async def count_peers(self) -> int:
        return len(get_hub().cluster.reports())

    @event
    async def lost(self) -> int:
        """Answer how many layer messages this server knows to be lost."""
        return get_hub().cluster.lost
