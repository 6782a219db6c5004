"""The rooms that a socket is in: its own, its user's, and those for which its class asks first."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime
from functools import partial

from ..execution.calls import call_apart
from ..identity.user_rooms import find_user_room, is_user_room, user_keys, without_user_rooms
from .activity import Activity
from .delivery import CLOSED, MOVED

NONE: frozenset[str] = frozenset()  # for all who have none: each empty one takes 216 bytes


class Membership(Activity):
    """
    The side of a socket on which it joins and leaves rooms.

    `asked` are rooms that its client has asked for itself: those are asked for again when it comes
    back. Where hubs share a log it joins and leaves in the order of that: `leaving` are rooms that
    it has left for the site, and is in until its turn comes.
    """

    __slots__ = ("_pending", "asked", "leaving", "opened_at", "rooms", "unflushed")

    def __init__(self) -> None:
        super().__init__()
        self.rooms: set[str] = set()
        self.asked = self.leaving = NONE
        # Rooms for which `may_join` is being asked, and what asks: none, as a rule.
        self._pending: dict[str, asyncio.Task[None]] | None = None
        # When the hub's observers came to know this socket.
        self.opened_at: datetime | None = None
        # Whether it may have joined or left since an answer waited for that to be in effect.
        self.unflushed = False

    @property
    def all_rooms(self) -> set[str]:
        """Its rooms, and those that it is about to leave; a handler's thread may be adding one."""
        return self.rooms | self.leaving

    @property
    def observed(self) -> bool:
        """Whether the hub's observers know this socket."""
        return self.opened_at is not None

    def register(self) -> None:
        """Be in the hub's registry, in its rooms and in that of its user."""
        registry = self.hub.registry
        registry.add(self)
        room = find_user_room(self.user)
        self.rooms.difference_update(self._user_rooms() - {room})
        if room is not None:
            self.rooms.add(room)
        for room in self.rooms:
            registry.join(self, room)

    def _user_rooms(self) -> set[str]:
        return {room for room in tuple(self.rooms) if is_user_room(room)}

    def note_user(self) -> None:
        """Be in the room of the user that it has now, and let those know who tell of that."""
        registry, recovery = self.hub.registry, self.hub.recovery
        if registry.sockets.get(self.sid) is not self:
            return  # it is in that room once it is registered
        room, before = find_user_room(self.user), self._user_rooms()
        for left in before - {room}:
            self.rooms.discard(left)
            registry.leave(self, left)
            if self.trail is not None and recovery is not None:
                recovery.left(self, left)
        if room is not None and room not in before:
            self.rooms.add(room)
            registry.join(self, room)
            if self.trail is not None and recovery is not None:
                recovery.joined(self, room)
        if before == {room} - {None}:
            return
        if recovery is not None:
            recovery.user_changed(self, user_keys(before))
        if self.observed:
            self.unflushed = True
            self.hub.observers.user_changed(self)

    def join(self, room: str) -> None:
        """
        Join a room, in this process at once; where the class guards its rooms, once `may_join` has
        said yes.
        """
        if self._asks_for(room):
            self._ask_first(room)
        else:
            self._join(room)

    def join_in_order(self, room: str) -> None:
        """Do the same, behind all that was sent before and before what is sent next."""
        if not self.shares_log:
            self.join(room)
        elif self._asks_for(room):
            self._ask_first(room)
        else:
            self._join_in_order(room, self._join)

    def admit(self, room: str) -> None:
        """Join a room that the client has asked for, and that it may be in, in the same order."""
        self.asked |= {room}  # now, too: they are counted
        self._join_in_order(room, self._admit)

    def _join_in_order(self, room: str, join: Callable[[str], None]) -> None:
        if self.shares_log and self.hub.recovery is not None:
            self.hub.recovery.about_to_join(self, room)
        self._do_in_order(partial(join, room), "join", room)

    def _admit(self, room: str) -> None:
        self.asked |= {room}
        self._join(room)
        self.store_soon()

    def _join(self, room: str) -> None:
        self.rooms.add(room)
        if self.state is MOVED:
            self.hub.command_after(self, "join", room)
        if self.hub.registry.join(self, room):
            self.unflushed = True
            if self.trail is not None and self.hub.recovery is not None:
                self.hub.recovery.joined(self, room)
            if self.observed:
                self.hub.observers.joined(self, room)

    def leave(self, room: str) -> None:
        """Leave a room, in this process at once."""
        self._want_no_more(room)
        self._leave(room)

    def leave_in_order(self, room: str) -> None:
        """Do the same, behind all that was sent before and before what is sent next."""
        if not self.shares_log:
            self.leave(room)
            return
        self._want_no_more(room)
        if not self.gone:
            self.leaving |= {room}
        self._do_in_order(partial(self._leave, room), "leave", room)

    def _want_no_more(self, room: str) -> None:
        self.rooms.discard(room)
        if self._pending is not None:
            self._pending.pop(room, None)

    def _leave(self, room: str) -> None:
        self.rooms.discard(room)  # a join may have had its turn since
        if room in self.asked:
            self.asked = self.asked - {room} or NONE
        if room in self.leaving:
            self.leaving = self.leaving - {room} or NONE
        if self.state is MOVED:
            self.hub.command_after(self, "leave", room)
        if self.hub.registry.leave(self, room):
            self.unflushed = True
            if self.trail is not None and self.hub.recovery is not None:
                self.hub.recovery.left(self, room)
            if self.observed:
                self.hub.observers.left(self, room)

    # Where hubs share a log

    def _do_in_order(self, call: Callable[[], object], action: str, *names: str) -> None:
        """
        Do something at once; where hubs share a log, when its turn has come. `action` and `names`
        say what that is to other hubs (see `envelopes.Command`).
        """
        if self.gone or not self.shares_log:
            call()
        else:
            self.in_order(partial(self._do_wherever, call, action, names))

    def _do_wherever(self, call: Callable[[], object], action: str, names: tuple[str, ...]) -> None:
        """Do something whose turn has come: its client may have dropped since, and come back."""
        if self.state is CLOSED and self.trail is not None:
            self.hub.command_after(self, action, *names)
        else:
            call()

    def store_soon(self) -> None:
        """Have what others can read of the client written, from any thread, as it is now."""
        recovery = self.hub.recovery
        if recovery is not None and recovery.shared and not self.gone:
            self.unflushed = True
            self.hub.run(recovery.data_changed, self)

    # Rooms that are asked for

    def _asks_for(self, room: str) -> bool:
        """Tell whether `may_join` is to be asked before it joins a room."""
        return self.consumer.guard_rooms and room not in self.rooms and self.state is not MOVED

    def guarded_rooms(self) -> frozenset[str]:
        """Return the rooms that it is in only as long as `may_join` says yes."""
        if self.consumer.guard_rooms:
            return without_user_rooms(self.rooms)
        return self.asked & self.rooms if self.asked else NONE

    def _ask_first(self, room: str) -> None:
        if self._pending is None:
            self._pending = {}
        elif room in self._pending:
            return
        self.unflushed = True
        task = self._pending[room] = self.hub.spawn(self._ask(room), self.context.copy())
        task.add_done_callback(partial(self._forget_pending, room))

    async def _ask(self, room: str) -> None:
        allowed = False
        try:
            call = call_apart(self.consumer.may_join, room, slots=self.hub.sync_handlers)
            allowed = bool(await call)
        except BaseException as error:
            self.log_failure("may_join", error)
        if not self._is_pending(room, asyncio.current_task()):  # it was left meanwhile
            return
        if not allowed:
            self.log(logging.INFO, "join-refused", room=room)
        elif not self.gone:
            self._join_in_order(room, self._join)
        elif self.state is MOVED:
            self.hub.command_after(self, "join", room)

    def _forget_pending(self, room: str, task: asyncio.Task[None]) -> None:
        if self._pending is not None and self._is_pending(room, task):
            del self._pending[room]

    def _is_pending(self, room: str, task: asyncio.Task[None] | None) -> bool:
        return self._pending is not None and self._pending.get(room) is task

    async def wait_asked(self) -> None:
        """Wait until it is in all rooms that it was to join, or may not be in them."""
        asking = asyncio.current_task()  # which may itself join others
        while self._pending:
            others = [task for task in self._pending.values() if task is not asking]
            if not others:
                return
            await asyncio.wait(others)

    @property
    def at_rest(self) -> bool:
        """Whether nothing of the site's code is at work for it, or waits for its client."""
        return super().at_rest and not self._pending
