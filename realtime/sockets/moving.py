"""What of a socket goes with its client to another process, and what cannot."""

from __future__ import annotations

import functools
from datetime import UTC, datetime
from inspect import getattr_static
from typing import Any

import msgspec
from django.utils.crypto import salted_hmac
from django.utils.functional import cached_property

from ..identity.logins import user_key
from ..identity.renewal import Login
from . import exact
from .authentication import ShownLogin, find_login
from .data import RecoverableData, dump_data
from .exact import Inexact
from .interfaces import Hub, Route
from .membership import NONE
from .overrides import path_of
from .socket import Socket

# Of a consumer's attributes and data together, as JSON.
MAX_TEXT = 1024 * 1024

# What every consumer has, and gets where it comes to.
_GIVEN = frozenset(
    ("_socket", "_target", "_handlers", "_query", "_session", "_data", "kwargs", "scope")
)
_MISSING = object()


class Immovable(Exception):
    """Something of a client cannot be in another process. The text says what."""


class Shown(msgspec.Struct, array_like=True):
    """
    What a client has shown: its `auth`, as JSON, and whether its first request was shown as well;
    `login` tells whose that was.
    """

    auth: str
    by_request: bool
    login: str


class SocketForm(msgspec.Struct, array_like=True):
    """
    A socket on its way: who it is, what its consumer keeps (`data` and `attributes`, each as JSON),
    and the numbers of the acknowledgements that its client still owes (`unanswered`).

    `missed` is what the client may not have got yet, where it can come back after a drop: each with
    its offsets, id and packet; None where that is not known. `asked` are rooms that the client has
    asked for itself. Where hubs share a log, `trail` says what of that is for it. Times are Unix
    times.
    """

    namespace: str
    sid: str
    pid: str
    query: str
    rooms: list[str]
    data: str | None
    attributes: dict[str, str]
    shared: str
    opened_at: float | None
    recovered: bool
    lost: bool
    last_ack_id: int
    unanswered: list[int]
    missed: list[tuple[tuple[str, ...], str, str, tuple[bytes, ...]]] | None = None
    asked: list[str] = []
    trail: bytes = b""


def pack(socket: Socket, route: Route) -> SocketForm:
    """Return what is to move. Raises Immovable."""
    if socket.has_spawned:
        raise Immovable(f"{_name(socket)} has spawned a task that is still running")
    if not isinstance(socket.login, ShownLogin | None):
        raise Immovable(f"{_name(socket)} has a user of its own")
    attributes, data = _attributes(socket, route), _data(socket)
    if sum(map(len, attributes.values())) + len(data or "") > MAX_TEXT:
        raise Immovable(f"{_name(socket)} keeps more than {MAX_TEXT} characters of JSON")
    opened = socket.opened_at
    return SocketForm(
        socket.namespace,
        socket.sid,
        socket.pid,
        socket.consumer.__dict__["_query"],
        sorted(socket.hub.registry.rooms_of(socket)),
        data,
        attributes,
        socket.shared,
        None if opened is None else opened.timestamp(),
        socket.recovered,
        socket.lost,
        socket.acks.last_id,
        socket.acks.numbers(),
        asked=sorted(socket.asked),
    )


def _name(socket: Socket) -> str:
    return path_of(type(socket.consumer))


def _data(socket: Socket) -> str | None:
    data = socket.consumer.__dict__["_data"]
    if data is None:
        return None
    if isinstance(data, RecoverableData):
        try:
            return dump_data(data)
        except (TypeError, ValueError) as error:
            raise Immovable(f"{_name(socket)}: {error}") from error
    return _dump(socket, "data", data)


def _dump(socket: Socket, name: str, value: Any) -> str:
    try:
        return exact.dump(value)
    except Inexact as reason:
        raise Immovable(f"self.{name} of {_name(socket)} has {reason}") from reason


def _attributes(socket: Socket, route: Route) -> dict[str, str]:
    """Return, as JSON, what a consumer's code has set on it, without what it can make again."""
    kept = {}
    for name, value in dict(vars(socket.consumer)).items():
        if name in _GIVEN or route.initkwargs.get(name, _MISSING) is value:
            continue
        known = getattr_static(type(socket.consumer), name, None)
        if isinstance(known, (cached_property, functools.cached_property)):
            continue
        kept[name] = _dump(socket, name, value)
    return kept


def pack_shown(login: Login | None) -> Shown | None:
    """
    Return what a client has shown for a login, to be shown in another process, with who that login
    is. None where there is nothing of that. Raises Immovable.
    """
    if not isinstance(login, ShownLogin):
        return None
    try:
        auth = msgspec.json.encode(login.shown.auth).decode()
    except (TypeError, ValueError) as error:  # bytes, in what was shown later
        raise Immovable(f"what the client has shown is no JSON: {error}") from error
    return Shown(auth, login.is_by_request, _name_of(login))


async def unpack_shown(hub: Hub, namespace: str, shown: Shown, scope: dict[str, Any]) -> Login:
    """
    Return the login of a client that comes, by what it has shown where it was.

    Raises ConnectionRefused where that is good no more, and Immovable where it is another one's.
    """
    auth = msgspec.json.decode(shown.auth)
    login = await find_login(hub, namespace, auth, scope if shown.by_request else None)
    if login is None or _name_of(login) != shown.login:
        raise Immovable("what the client has shown is not of the same user here")
    return login


def _name_of(login: Login) -> str:
    name = f"{user_key(login.user)} {login.key}"
    return salted_hmac("realtime.sockets.moving", name, algorithm="sha256").hexdigest()


def unpack(socket: Socket, form: SocketForm, login: Login | None = None) -> None:
    """
    Let a new socket be one that comes from another process, with a login of its own or without, and
    be known under its sid.
    """
    socket.login = login
    kept = vars(socket.consumer)
    kept.update((name, exact.load(text)) for name, text in form.attributes.items())
    if form.data is not None:
        if socket.hub.recovery is not None:
            socket.consumer._restore(form.data)
        else:
            kept["_data"] = exact.load(form.data)
    opened = None if form.opened_at is None else datetime.fromtimestamp(form.opened_at, UTC)
    socket.sid, socket.pid = form.sid, form.pid
    socket.shared, socket.opened_at = form.shared, opened
    socket.recovered, socket.lost = form.recovered, form.lost
    socket.asked, socket.acks.last_id = frozenset(form.asked) or NONE, form.last_ack_id
    socket.arrive(form.rooms)
