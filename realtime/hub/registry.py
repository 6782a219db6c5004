"""The sockets and rooms of this process."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from contextlib import ExitStack
from threading import get_ident

from ..cluster.targets import Target
from ..identity.user_rooms import is_user_room, user_room
from ..sockets.socket import Socket
from .ownership import require_own_thread


class Namespace:
    """The local sockets of a namespace, and its rooms."""

    __slots__ = ("name", "rooms", "sockets")

    def __init__(self, name: str) -> None:
        self.name = name
        self.sockets: dict[str, Socket] = {}
        self.rooms: dict[str, set[Socket]] = {}


class Registry:
    """
    Who is where. `opened(namespace, room)` is called when a room gets its first member (`room` is
    None for the namespace itself), `emptied(namespace, room)` when the last one has left.
    `is_sid(name)` tells which names are clients' and never rooms: who guesses or knows a sid and
    joins a room of that name must not get what was meant for a client that has left.
    """

    def __init__(
        self,
        opened: Callable[[str, str | None], None],
        emptied: Callable[[str, str | None], None],
        is_sid: Callable[[str], bool],
    ) -> None:
        self.sockets: dict[str, Socket] = {}
        self.namespaces: dict[str, Namespace] = {}
        self._user_rooms = 0
        self._opened = opened
        self._emptied = emptied
        self._is_sid = is_sid
        self._thread = get_ident()

    def add(self, socket: Socket) -> None:
        """Register a socket: messages to its namespace and its sid reach it from now on."""
        require_own_thread(self._thread, "Registry.add")
        self.sockets[socket.sid] = socket
        namespace = self.namespaces.get(socket.namespace)
        if namespace is None:
            namespace = self.namespaces[socket.namespace] = Namespace(socket.namespace)
            self._opened(socket.namespace, None)
        namespace.sockets[socket.sid] = socket

    def remove(self, socket: Socket) -> None:
        """Forget a socket and its place in its rooms. `socket.rooms` stays for its last hook."""
        if self.sockets.get(socket.sid) is not socket:
            return
        del self.sockets[socket.sid]
        namespace = self.namespaces[socket.namespace]
        del namespace.sockets[socket.sid]
        with ExitStack() as stack:  # what one room's end raises keeps no other's from happening
            stack.callback(self._forget_if_empty, namespace)
            for room in socket.all_rooms:
                stack.callback(self._leave, namespace, room, socket)

    def join(self, socket: Socket, room: str) -> bool:
        """Put a registered socket into a room; tell if it is new there. One that is gone is not."""
        require_own_thread(self._thread, "Registry.join")
        if self.sockets.get(socket.sid) is not socket:
            return False
        rooms = self.namespaces[socket.namespace].rooms
        members = rooms.get(room)
        if members is None:
            members = rooms[room] = set()
            self._user_rooms += is_user_room(room)
            self._opened(socket.namespace, room)
        elif socket in members:
            return False
        members.add(socket)
        return True

    def leave(self, socket: Socket, room: str) -> bool:
        """Take a socket out of a room; tell if it was there."""
        require_own_thread(self._thread, "Registry.leave")
        namespace = self.namespaces.get(socket.namespace)
        if namespace is None:
            return False
        was_there = self._leave(namespace, room, socket)
        self._forget_if_empty(namespace)
        return was_there

    def _forget_if_empty(self, namespace: Namespace) -> None:
        """Forget a namespace without sockets, once no thread is on its way out of a room."""
        if not namespace.sockets and not namespace.rooms:
            del self.namespaces[namespace.name]
            self._emptied(namespace.name, None)

    def _leave(self, namespace: Namespace, room: str, socket: Socket) -> bool:
        members = namespace.rooms.get(room)
        if members is None or socket not in members:
            return False
        members.remove(socket)
        if not members:
            del namespace.rooms[room]
            self._user_rooms -= is_user_room(room)
            self._emptied(namespace.name, room)
        return True

    def of_users(self, keys: Collection[str]) -> set[Socket]:
        """Return the sockets of the users of these primary keys, in all namespaces."""
        rooms = {user_room(key) for key in keys}
        if len(rooms) * len(self.namespaces) > len(self.sockets):
            return {each for each in self.sockets.values() if not rooms.isdisjoint(each.rooms)}
        return {
            socket
            for namespace in self.namespaces.values()
            for room in rooms
            for socket in namespace.rooms.get(room, ())
        }

    def rooms_of(self, socket: Socket) -> list[str]:
        """Return the rooms that a socket is in, as this registry knows them."""
        namespace = self.namespaces.get(socket.namespace)
        if namespace is None:
            return []
        # What the socket has noted may be ahead: a handler's thread may be joining.
        return [room for room in socket.all_rooms if socket in namespace.rooms.get(room, ())]

    def select(self, target: Target) -> list[Socket]:
        """Return the sockets that a target names, each once."""
        namespace = self.namespaces.get(target.namespace)
        if namespace is None:
            return []
        if not target.rooms:
            chosen: Iterable[Socket] = namespace.sockets.values()
        elif len(target.rooms) == 1:
            chosen = self._members(namespace, target.rooms[0])
        else:
            chosen = dict.fromkeys(
                socket for room in target.rooms for socket in self._members(namespace, room)
            )
        if not target.excluded:
            return list(chosen)
        excluded = {socket for name in target.excluded for socket in self._members(namespace, name)}
        return [socket for socket in chosen if socket not in excluded]

    def find_client(self, target: Target) -> list[Socket]:
        """Return the socket of a target that is one client, if it is here."""
        socket = self.sockets.get(target.rooms[0])
        if socket is not None and target.namespace:
            socket = socket.connection.sockets.get(target.namespace)
        return [] if socket is None else [socket]

    def _members(self, namespace: Namespace, name: str) -> Iterable[Socket]:
        """Return the sockets in a room; a socket's own id names that socket and nobody else."""
        if (socket := namespace.sockets.get(name)) is not None:
            return (socket,)
        return () if self._is_sid(name) else namespace.rooms.get(name, ())

    def count_rooms(self) -> int:
        """Return how many rooms have members here, without those of users."""
        rooms = sum(len(namespace.rooms) for namespace in self.namespaces.values())
        return rooms - self._user_rooms
