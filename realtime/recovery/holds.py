"""Who holds which rooms: while anybody does, this hub hears what is sent to them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ..cluster.envelopes import group_name

Subscribe = Callable[[str, str | None], None]


class Holds:
    """
    Counts who needs a room (None: all of the namespace): its members here together, and each client
    that is away. `subscribe` is called for the first one, `unsubscribe` after the last.
    """

    def __init__(self, subscribe: Subscribe, unsubscribe: Subscribe) -> None:
        self._subscribe = subscribe
        self._unsubscribe = unsubscribe
        self._counts: dict[tuple[str, str | None], int] = {}

    def __iter__(self) -> Iterator[tuple[str, str | None]]:
        return iter(self._counts)

    def __contains__(self, key: object) -> bool:
        return key in self._counts

    def subscribe(self, namespace: str, room: str | None) -> None:
        """Need a room, until `unsubscribe`."""
        key = namespace, room
        count = self._counts.get(key, 0)
        self._counts[key] = count + 1
        if not count:
            self._subscribe(namespace, room)

    def unsubscribe(self, namespace: str, room: str | None) -> None:
        """Need a room no more."""
        key = namespace, room
        count = self._counts.pop(key) - 1
        if count:
            self._counts[key] = count
        else:
            self._unsubscribe(namespace, room)


class NamedHolds(Holds):
    """The same, where the layer's groups are known by name: of what gets lost only that is told."""

    def __init__(self, subscribe: Subscribe, unsubscribe: Subscribe) -> None:
        super().__init__(self._begin, self._end)
        self._begin_hearing = subscribe
        self._end_hearing = unsubscribe
        self._keys: dict[str, tuple[str, str | None]] = {}

    def key_of(self, group: str) -> tuple[str, str | None] | None:
        """Return the namespace and the room that a group of the layer is for, if it is held."""
        return self._keys.get(group)

    def _begin(self, namespace: str, room: str | None) -> None:
        self._keys[group_name(namespace, room)] = namespace, room
        self._begin_hearing(namespace, room)

    def _end(self, namespace: str, room: str | None) -> None:
        del self._keys[group_name(namespace, room)]
        self._end_hearing(namespace, room)
