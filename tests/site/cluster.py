"""What tests of several processes do through a consumer: the module-level API, inside a server."""

from __future__ import annotations

import asyncio
from typing import Any

import realtime
from realtime import Broadcaster, NamespaceConsumer, event
from realtime.outside.process import get_hub

# What a hub waits for that was deafened.
deafened: dict[str, asyncio.Event] = {}


def choose(rooms: list[str], excluded: list[str]) -> Broadcaster:
    """Return the sockets of "/cluster" in the rooms, without the excluded ones."""
    return realtime.of("/cluster").to(*rooms).excluding(*excluded)


class ClusterConsumer(NamespaceConsumer):
    """The namespace "/cluster"."""

    async def connect(self, auth: Any) -> None:
        self.join(*auth.get("rooms", []))
        if "say" in auth:
            self.broadcast.emit("said", auth["say"])

    async def disconnect(self, reason: str) -> None:
        if "hearing" in self.data:
            self.data["hearing"].cancel()

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
            self.everyone.to(room).emit("number", number)

    @event("move")
    async def move(self, rooms: list[str], action: str, *names: str) -> None:
        """Let a room's sockets join or leave rooms, and wait until that is in effect."""
        await getattr(choose(rooms, []), action)(*names)

    @event("end")
    async def end(self, rooms: list[str]) -> None:
        """End the connections of a room's sockets."""
        choose(rooms, []).close(connection=True)

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

    @event("say to group")
    async def say_to_group(self, group: str, said: Any) -> None:
        """Send to a group of the site's own."""
        await self.channel_layer.group_send(group, {"type": "group.said", "said": said})

    @event("hear group")
    async def hear_group(self, group: str) -> None:
        """Give this client what comes to a group of the site's own, through a channel for that."""
        channel = await self.channel_layer.new_channel("other")
        await self.channel_layer.group_add(group, channel)
        self.data["hearing"] = asyncio.create_task(self._hear(channel))

    async def _hear(self, channel: str) -> None:
        while True:
            message = await self.channel_layer.receive(channel)
            self.emit("heard", message["said"])

    @event
    async def deafen(self) -> None:
        """
        End what reads for the hub in its layer, channels_redis' pubsub layer: for good. The hub
        does nothing about it until `recover`.
        """
        link, allowed = get_hub().cluster.link, asyncio.Event()
        restore = link._restore

        async def wait() -> None:
            await allowed.wait()
            link._restore = restore
            await restore()

        link._restore, deafened["allowed"] = wait, allowed
        for shard in link.layer._shards:
            shard._receive_task.cancel()

    @event
    async def recover(self) -> None:
        """Let the hub do what it does where it is deaf."""
        deafened.pop("allowed").set()

    @event("foreign polls")
    async def count_foreign_polls(self) -> int:
        """Answer how many polls wait here for sessions of other servers."""
        return len(get_hub().foreign_polls)

    @event("lost")
    async def count_lost(self) -> int:
        """Answer how many layer messages this server knows to be lost."""
        return get_hub().cluster.lost
