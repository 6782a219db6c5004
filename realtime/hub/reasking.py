"""
Who a hub's clients are and what they may, found anew: because something has changed, or now and
then.

What has changed comes from all servers, and is gathered for a moment. Then the users whom it
concerns are looked up together, and each client gets the new one in the place of the old.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice
from typing import Any, NamedTuple, cast

from ..authority.changes import REAUTHORIZE, Change, decode
from ..cluster.envelopes import LOG_OUT
from ..cluster.targets import EVERYONE
from ..execution.pacing import Pace
from ..identity.finding import find_again
from ..identity.logins import new_anonymous, user_key
from ..identity.renewal import Found, Subject
from ..recovery.identities import Identity, identify, identify_client
from ..sockets.socket import Socket
from ..sockets.standing import SAME
from ..transports.connection import Connection
from .deciding import Deciding
from .expiries import Expiries
from .interfaces import Hub
from .outage_log import OutageLog

# Seconds for which changes are gathered; after which a login that is missing is looked for once
# more; and for which who comes may have been looked up before a change.
GATHER, DOUBT, RECENT = 0.05, 0.4, 10.0

# As many clients are looked up at a time.
AT_ONCE = 1_000

# What has a user: a connection, or a socket with a login of its own.
Holder = Connection | Socket


class Why(NamedTuple):
    """
    Why somebody is asked for: `told` that something has changed, or perhaps nothing has; and
    whether what is missing is `surely` over.
    """

    told: bool = False
    surely: bool = False

    def joined(self, other: Why) -> Why:
        """Return why somebody is asked for, for this reason and another one."""
        return Why(self.told or other.told, self.surely or other.surely)


class Asked(NamedTuple):
    """One who is asked for, and the user that it has until then."""

    subject: Subject
    user: Any


class Reasking:
    """Asks for the clients of a hub again."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._change = Change()
        self._wanted: dict[Holder, Why] = {}
        self._task: asyncio.Task[None] | None = None
        self._told_at = -RECENT
        self.outages = OutageLog(hub.loop)
        self._deciding = Deciding(hub, self.outages)
        self.expiries = Expiries(hub, self._expire)

    # What is told

    def hear(self, action: str, names: tuple[str, ...]) -> None:
        """Take note of what has changed, as all servers are told (see `authority.changes`)."""
        if action == REAUTHORIZE:
            self._note(decode(names))
        elif action == LOG_OUT and len(names) == 1:
            self._note(Change(ended=set(names)))
        elif action == LOG_OUT:
            self._note(Change(logged_out={(names[0], names[1])}))

    def _note(self, change: Change) -> None:
        self._told_at = self._hub.loop.time()
        self._end_sessions(change)
        for user, login in change.logged_out:
            self._log_out(Identity(user, login))
        change.logged_out.clear()
        if change:
            self._change.add(change)
            self._start()

    def _end_sessions(self, change: Change) -> None:
        """Let nobody come back to what these logins had."""
        if (recovery := self._hub.recovery) is None:
            return
        for names in (*((user,) for user in change.ended), *change.logged_out):
            recovery.execute(EVERYONE, LOG_OUT, names)
        for user, login in change.sessions:
            recovery.end_away(user, login)

    def _log_out(self, identity: Identity) -> None:
        """Log out who has this login, of which the session may be there for a moment still."""
        for holder in self._of_users({str(identity.user)}):
            if isinstance(holder, Socket):
                is_its = identify_client(holder) == identity
            else:
                is_its = identify(holder.scope) == identity
            if is_its:
                self._renew(holder, Found(new_anonymous()))

    def ask(self, socket: Socket) -> None:
        """Ask for the user of a socket, and for what its client may, since a site wants that."""
        self._want(_holder_of(socket), Why(told=True))

    def note_login(self, socket: Socket) -> None:
        """
        Take note that a socket has a login of its own, which may expire, and may have been looked
        up before a change.
        """
        if socket.login is not None and socket.login.expires is not None:
            self.expiries.note(socket, socket.login.expires)
        self.look_at(socket)

    def look_at(self, socket: Socket) -> None:
        """Ask for a socket with a login of its own that is there for others only now."""
        if self._hub.loop.time() - self._told_at < RECENT:
            self._want(socket, Why())

    def came(self, connection: Connection, *, moved: bool = False) -> None:
        """
        Take note of a client that has just come: it may have been looked up before a change. One
        that has `moved` here has been let in elsewhere, and perhaps before that.
        """
        if self._hub.loop.time() - self._told_at < RECENT:
            self._want(connection, Why(told=moved))
        else:
            self.expiries.came(connection)

    def _expire(self, holder: Holder) -> None:
        self._want(holder, Why(surely=True))

    def _want(self, holder: Holder, why: Why) -> None:
        self._wanted[holder] = self._wanted.get(holder, Why()).joined(why)
        self._start()

    # Whom it concerns

    def _of_users(self, users: set[str]) -> set[Holder]:
        found: set[Holder] = {_holder_of(each) for each in self._hub.registry.of_users(users)}
        found.update(each for each in self._without_sockets() if key_of(each) in users)
        return found

    def _without_sockets(self) -> Iterator[Connection]:
        """Return clients that are in no namespace at the moment."""
        return (each for each in self._hub.connections.values() if not each.sockets)

    def _everybody(self) -> set[Holder]:
        found = set(holders(self._hub.connections.values()))
        return {each for each in found if key_of(each) is not None}

    async def _find_concerned(self, change: Change) -> set[Holder]:
        if change.everybody:
            return self._everybody()
        users = change.all_users
        if change.groups:
            here = {key for each in self._everybody() if (key := key_of(each)) is not None}
            users |= await self._hub.lookups.run(_members, change.groups, here)
        return self._of_users(users)

    # Finding them anew

    def _start(self) -> None:
        if self._task is None or self._task.done():
            self._task = self._hub.services.spawn(self._run())

    async def _run(self) -> None:
        while self._change or self._wanted:
            await asyncio.sleep(GATHER)
            with suppress(Exception):  # which is told, and made up for
                async with self.outages.noted():
                    await self._work()

    async def _work(self) -> None:
        change, self._change = self._change, Change()
        try:
            concerned = await self._find_concerned(change) if change else ()
        except Exception:
            self._change.add(change)
            raise
        for holder in concerned:
            self._wanted[holder] = self._wanted.get(holder, Why()).joined(Why(told=True))
        while self._wanted:
            await self.renew(dict(islice(self._wanted.items(), AT_ONCE)))

    async def renew(self, asked: dict[Holder, Why]) -> None:
        """Find users anew, and do what follows. Raises what the database raises."""
        before = {holder: _look_at(holder) for holder in asked if not is_gone(holder)}
        found = await find_again(self._hub.lookups, [each.subject for each in before.values()])
        for holder, why in asked.items():
            if self._wanted.get(holder) == why:
                del self._wanted[holder]
        pace = Pace()
        for (holder, its), now in zip(before.items(), found, strict=True):
            if _is_as_it_was(holder, its) and now.error is None:
                self._settle(holder, now, asked[holder])
            await pace.keep()

    def _settle(self, holder: Holder, found: Found, why: Why) -> None:
        """Do what follows for one, unless what is missing may only have moved."""
        if found.missing and not why.surely:
            sure = why.joined(Why(surely=True))
            self._hub.loop.call_later(DOUBT, self._want, holder, sure)
            return
        if found.refusal is not None and isinstance(holder, Socket):
            self._deciding.expel(holder, found.refusal)
            return
        if found.expires is not None:
            if isinstance(holder, Socket) and holder.login is not None:
                holder.login.expires = found.expires
            self.expiries.note(holder, found.expires)
        if why.told or found.changed:
            self._renew(holder, found)
        else:
            self.ask_itself(holder)

    def _renew(self, holder: Holder, found: Found) -> None:
        """Let a client be another user's, or the same one's anew."""
        if is_gone(holder):
            return
        old = _user_of(holder)
        is_another = user_key(found.user) != user_key(old)
        if isinstance(holder, Socket):
            holder.renew_login(found)
            self._go_on(holder, old, is_another)
            return
        holder.scope["user"] = found.user
        if is_another:
            holder.scope.pop("presence_user", None)
        for socket in tuple(holder.sockets.values()):
            if socket.login is None:
                socket.renew()
                self._go_on(socket, old, is_another)

    def _go_on(self, socket: Socket, old: Any, is_another: bool) -> None:
        """Ask what a socket may, which another user cannot come back to."""
        if is_another and self._hub.recovery is not None:
            self._hub.recovery.forget(socket)
        self._deciding.add(socket, old)

    def ask_itself(self, holder: Holder) -> None:
        """Ask hooks of the site's own, whose answers may depend on anything."""
        for socket in (holder,) if isinstance(holder, Socket) else holder.sockets.values():
            if socket.is_asked_itself:
                self._deciding.add(socket, SAME)


def holders(connections: Iterable[Connection]) -> Iterator[Holder]:
    """Return all that have a user: connections, and sockets with logins of their own."""
    for connection in connections:
        yield connection
        for socket in connection.sockets.values():
            if socket.login is not None:
                yield socket


def _holder_of(socket: Socket) -> Holder:
    return cast(Connection, socket.connection) if socket.login is None else socket


def _subject_of(holder: Holder) -> Subject:
    if isinstance(holder, Socket):
        return Subject(holder.connection.scope, holder.login)
    return Subject(holder.scope)


def _user_of(holder: Holder) -> Any:
    return _subject_of(holder).user


def key_of(holder: Holder) -> str | None:
    """Return the primary key of a user, or None for nobody's."""
    key = user_key(_user_of(holder))
    return None if key is None else str(key)


def is_gone(holder: Holder) -> bool:
    """Tell whether nobody is there any more who has it."""
    return holder.gone if isinstance(holder, Socket) else holder.closed.happened


def _look_at(holder: Holder) -> Asked:
    subject = _subject_of(holder)
    return Asked(subject, subject.user)


def _is_as_it_was(holder: Holder, asked: Asked) -> bool:
    """Tell whether nobody has changed who somebody is meanwhile."""
    now = _look_at(holder)
    return now.user is asked.user and now.subject.login is asked.subject.login


def _members(groups: set[str], users: set[str]) -> set[str]:
    from ..identity.fresh_users import members  # noqa: PLC0415

    return members(groups, users)
