"""
Connections on which a layer is told of messages, and which it opens anew by itself.

What is published meanwhile reaches nobody here. channels_redis' pubsub layer says nothing of that;
its other one keeps messages in Redis until they are fetched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any


class Reconnects:
    """Calls `reconnected` when a subscribed connection of a layer that is watched is a new one."""

    def __init__(self, reconnected: Callable[[], None]) -> None:
        self._reconnected = reconnected

    def watch(self, layer: Any) -> None:
        """Watch the connections that a layer has now; it may be watched already."""
        for connection in _subscribed(layer):
            connection.register_connect_callback(self._connected)

    def _connected(self, connection: Any) -> None:
        self._reconnected()


def _subscribed(layer: Any) -> Iterator[Any]:
    """Return the connections on which redis-py hears what is published for a layer."""
    find = getattr(layer, "_get_layer", None)  # of the running loop
    for shard in getattr(find() if find else None, "_shards", ()):
        connection = getattr(getattr(shard, "_pubsub", None), "connection", None)
        if hasattr(connection, "register_connect_callback"):
            yield connection
