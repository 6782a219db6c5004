"""
Channels that are full: channels_redis' core layer keeps `capacity` messages for a process.

What is sent to a group beyond that is dropped, and said to nobody. So whoever sends finds out, and
leaves a note in Redis for the process that it was for: beside its channel, where there is room, and
where it stays until that process looks, though its sender has ended.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from typing import Any

from channels.exceptions import ChannelFull

from .layers import is_redis_core
from .sequences import Lane

# The field of notes that counts messages which no receiver counts, since they have no numbers.
UNNUMBERED = ""

# Takes from each field of notes what was read of it: there may be more meanwhile.
FORGET = """
for place = 1, #ARGV, 2 do
    if redis.call('HINCRBY', KEYS[1], ARGV[place], -ARGV[place + 1]) <= 0 then
        redis.call('HDEL', KEYS[1], ARGV[place])
    end
end
"""


async def send(layer: Any, lane: Lane, message: dict[str, Any], *, unnumbered: int = 0) -> None:
    """
    Send a message to a lane; leave a note for each process that has no room for it.

    `unnumbered` is how many lost messages that is to be counted as. Raises what the layer raises,
    as ChannelFull for a lane that is one channel.
    """
    if lane.direct:
        try:
            await layer.send(lane.name, message)
        except ChannelFull:
            await _note(layer, lane.name, lane.name, unnumbered)
            raise
    elif not is_redis_core(layer):
        await layer.group_send(lane.name, message)
    else:
        full: list[str] = []
        watched = copy(layer)  # which shares the connections
        watched.connection = lambda index: _Watched(layer, layer.connection(index), full)
        await watched.group_send(lane.name, message)
        for channel in full:
            await _note(layer, channel, lane.name, unnumbered)


class _Watched:
    """A connection to Redis that adds to `full` the channels that had no room for a message."""

    def __init__(self, layer: Any, connection: Any, full: list[str]) -> None:
        self._layer = layer
        self._connection = connection
        self._full = full

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    async def eval(self, script: str, count: int, *args: Any) -> Any:
        """Run the script of `group_send`, which returns how many channels have no room."""
        over = await self._connection.eval(script, count, *args)
        if over:
            keys, messages, capacities = (
                args[start : start + count] for start in range(0, 3 * count, count)
            )
            for place in await self._find_full(keys, capacities, over):
                self._full += self._layer.deserialize(messages[place])["__asgi_channel__"]
        return over

    async def _find_full(self, keys: Any, capacities: Any, over: int) -> list[int]:
        """Return which are full; all, where some of those that were are read already."""
        sizes = self._connection.pipeline()
        for key in keys:
            sizes.zcard(key)
        found = [
            place
            for place, (size, capacity) in enumerate(
                zip(await sizes.execute(), capacities, strict=True)
            )
            if size >= capacity
        ]
        return found if len(found) >= over else list(range(len(keys)))


# Notes


async def _note(layer: Any, channel: str, lane: str, unnumbered: int) -> None:
    if not is_redis_core(layer):
        return
    notes = _connection(layer, channel).pipeline()
    notes.hincrby(_key(layer, channel), lane, 1)
    if unnumbered:
        notes.hincrby(_key(layer, channel), UNNUMBERED, unnumbered)
    notes.expire(_key(layer, channel), layer.group_expiry)  # as the channel's memberships do
    await notes.execute()


async def read_notes(layer: Any, channel: str) -> dict[str, int]:
    """Return the lanes of which something for a channel was lost, and UNNUMBERED; how often."""
    if not is_redis_core(layer):
        return {}
    notes = await _connection(layer, channel).hgetall(_key(layer, channel))
    return {lane.decode(): int(times) for lane, times in notes.items()}


async def forget_notes(layer: Any, channel: str, notes: Mapping[str, int]) -> None:
    """Forget notes that were read."""
    args = (value for note in notes.items() for value in note)
    await _connection(layer, channel).eval(FORGET, 1, _key(layer, channel), *args)


def _connection(layer: Any, channel: str) -> Any:
    return layer.connection(layer.consistent_hash(channel))


def _key(layer: Any, channel: str) -> str:
    return f"{layer.prefix}:rt.lost:{channel}"
