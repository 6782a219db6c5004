"""Sending to many: who is meant, and what to do with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import routing
from .cluster.targets import Target
from .hub.calls import Answers
from .identity.user_rooms import user_rooms
from .outside.process import get_gateway
from .protocol.names import check_rooms
from .sending.plain_calls import DEFAULT_CALL_TIMEOUT, Pending, Sender
from .sending.remote import RemoteClient

if TYPE_CHECKING:
    from .models import RoomQuerySet, SocketQuerySet


class Broadcaster(Sender):
    """
    Sockets of one namespace, and what can be done with all of them.

    Each of `to`, `excluding`, `volatile` and `on_commit` returns a new Broadcaster.
    """

    __slots__ = ()

    # Whom

    def to(self, *rooms: str) -> Broadcaster:
        """Only sockets in one of these rooms, or in one of those named before; sids do as well."""
        return self._with(self._target._replace(rooms=self._target.rooms + check_rooms(rooms)))

    def to_user(self, *users: Any) -> Broadcaster:
        """
        Only sockets of these users, on all their devices, or those that were named before.

        A user is one of the site's, or its primary key. Raises TypeError for what is neither, and
        ValueError for somebody without a primary key, such as an AnonymousUser.
        """
        return self._with(self._target._replace(rooms=self._target.rooms + user_rooms(users)))

    def excluding(self, *names: str) -> Broadcaster:
        """Not the sockets in these rooms, nor those with these sids."""
        excluded = self._target.excluded + check_rooms(names)
        return self._with(self._target._replace(excluded=excluded))

    # Questions

    async def acall(
        self, event: str, *args: Any, timeout: float | None = DEFAULT_CALL_TIMEOUT
    ) -> Answers:
        """
        Send an event to all of them and return their acknowledgements.

        What did not come within `timeout` seconds (None: for as long as they are there) is in the
        answer's `missing`.
        """
        self._refuse_modifiers("acall")
        return await get_gateway().call(self._target, self._message(event, args), timeout)

    def call(self, event: str, *args: Any, timeout: float | None = DEFAULT_CALL_TIMEOUT) -> Answers:
        """
        Send an event and return the acknowledgements, as `acall` does, from code that is not async.
        """
        self._refuse_modifiers("call")
        return get_gateway().wait(lambda: self.acall(event, *args, timeout=timeout))

    # Who is there, in the whole cluster. The models are imported late: a site may import this
    # module while its apps are loading.

    def sockets(self) -> SocketQuerySet:
        """
        Return them as a QuerySet of `realtime.models.Socket`. Raises PresenceDisabled; evaluating
        it raises PresenceUnavailable.
        """
        from .presence import queries  # noqa: PLC0415

        self._refuse_modifiers("sockets")
        return queries.find_sockets(self._target)

    def rooms(self) -> RoomQuerySet:
        """
        Return the rooms that they are in as a QuerySet of `realtime.models.Room`, each with the
        number of these sockets in it as `sockets`. Raises the same as `sockets`.
        """
        from .presence import queries  # noqa: PLC0415

        self._refuse_modifiers("rooms")
        return queries.find_rooms(self._target)

    def count(self) -> int:
        """Return how many sockets they are. Raises PresenceDisabled and PresenceUnavailable."""
        from .presence import queries  # noqa: PLC0415

        self._refuse_modifiers("count")
        return queries.count(self.sockets)

    async def acount(self) -> int:
        """Return how many sockets they are, as `count` does, from async code."""
        from .presence import queries  # noqa: PLC0415

        self._refuse_modifiers("acount")
        return await queries.acount(self.sockets)


def of(namespace: str | type[Any] = "/", **kwargs: Any) -> Broadcaster:
    """
    Return all sockets of a namespace: its name, or its consumer's class and its route's kwargs.

    Raises UnknownNamespace where no route leads to it.
    """
    return Broadcaster(Target(_name_of(namespace, kwargs)))


def to(*rooms: str) -> Broadcaster:
    """Return the sockets in any of these rooms of the namespace "/"."""
    return of().to(*rooms)


def to_user(*users: Any) -> Broadcaster:
    """Return the sockets of these users, or primary keys of users, in the namespace "/"."""
    return of().to_user(*users)


def to_client(sid: str, namespace: str | type[Any] | None = None, **kwargs: Any) -> RemoteClient:
    """
    Return the client with this sid, in whatever namespace that is.

    `namespace`, given as to `of`, chooses another namespace of the same client. Raises
    UnknownNamespace where no route leads to it.
    """
    name = "" if namespace is None else _name_of(namespace, kwargs)
    return RemoteClient(Target(name, check_rooms((sid,)), client=True))


def _name_of(namespace: str | type[Any], kwargs: dict[str, Any]) -> str:
    if isinstance(namespace, str):
        routing.check(namespace)
        return namespace
    return routing.reverse(namespace, **kwargs)


def emit(event: str, *args: Any) -> Pending:
    """Send an event to all clients of the namespace "/"."""
    return of().emit(event, *args)


def count_clients() -> int:
    """
    Return how many clients are connected, each counted once however many namespaces it is in.

    Raises PresenceDisabled and PresenceUnavailable.
    """
    from .presence import queries  # noqa: PLC0415

    return queries.count(queries.find_clients)


async def acount_clients() -> int:
    """Return how many clients there are, as `count_clients` does, from async code."""
    from .presence import queries  # noqa: PLC0415

    return await queries.acount(queries.find_clients)
