"""What the demo's clients can do."""

from __future__ import annotations

import logging
import os
from functools import cached_property
from typing import Any

from realtime import ClientRooms, EventError, NamespaceConsumer, event
from realtime.utils.limits import LineLimiter, Rate

logger = logging.getLogger(__name__)

# The demo is open to everybody, so one client may fill only so much.
MAX_ROOMS = 50
MAX_NAME_LENGTH = 200
MAX_SERIES_LENGTH = 20
MAX_NUMBER = 1_000_000
MAX_TEXT_LENGTH = 1000
LINES = Rate(20, 20.0)

STAFF_ROOM = "staff"


def check_room(room: str) -> None:
    """Raise EventError for a name that is too long, or none."""
    if not 0 < len(room) <= MAX_NAME_LENGTH:
        raise EventError(f"a room's name has 1 to {MAX_NAME_LENGTH} characters")


class NotingConsumer(NamespaceConsumer):
    """Logs what its clients send."""

    @cached_property
    def limiter(self) -> LineLimiter:
        """What holds back who sends too much. It is no JSON, so it is not part of `data`."""
        return LineLimiter()

    def note(self, text: str, *args: Any) -> None:
        """Log something about this client: so much at once, then a line a second."""
        if (skipped := self.limiter.admit("note", LINES)) is not None:
            logger.info(f"{text} skipped={skipped}" if skipped else text, *args)


class MainConsumer(NotingConsumer):
    """The namespace "/": rooms, broadcasts, and questions both ways."""

    async def connect(self, auth: dict[str, Any]) -> None:
        if self.recovered:
            return  # it is in its rooms, and gets what it has missed
        self.join("Room №1")
        self.emit("message", "I'm server")
        if self.lost:
            self.emit("lost")

    @event
    async def message(self, *args: Any) -> None:
        self.note("message sid=%s args=%.500r", self.sid, args)

    @event
    async def echo(self, *args: Any) -> tuple[Any, ...]:
        return args

    @event
    async def whereami(self) -> dict[str, Any]:
        """Tell which of the cluster's servers this is."""
        host, port = self.scope["server"]
        return {"process": os.getpid(), "address": f"{host}:{port}"}

    @event("join")
    async def join_room(self, room: str) -> None:
        check_room(room)
        if room not in self.rooms and len(self.rooms) >= MAX_ROOMS:
            raise EventError(f"a client joins at most {MAX_ROOMS} rooms")
        self.join(room)

    @event("leave")
    async def leave_room(self, room: str) -> None:
        self.leave(room)

    @event
    async def say(self, room: str, text: str) -> None:
        self.everyone.to(room).emit("said", text)

    @event
    async def number(self, room: str, series: str, number: int) -> None:
        """Tell a room a series' next number, once: it comes again where our answer is lost."""
        check_room(room)
        if len(series) > MAX_SERIES_LENGTH:
            raise EventError(f"a series' name has {MAX_SERIES_LENGTH} characters at most")
        if not 0 < number <= MAX_NUMBER:
            raise EventError(f"a series counts from 1 to {MAX_NUMBER}")
        if self.data.get("told") == [series, number]:
            return
        self.data["told"] = [series, number]
        self.everyone.to(room).emit("number", series, number)

    @event("broadcast")
    async def broadcast_text(self, text: str) -> None:
        self.everyone.emit("message", text)

    @event("ask me")
    async def ask_me(self) -> Any:
        return await self.acall("question", "ready?")


class AccountConsumer(ClientRooms, NotingConsumer):
    """The namespace "/account", for who has logged in, with a room for staff."""

    login_required = True
    max_client_rooms = 1

    def may_join(self, room: str) -> bool:
        return room == STAFF_ROOM and self.user.is_staff

    @event
    async def whoami(self) -> dict[str, Any]:
        """Tell who the client is, as far as the site knows now."""
        return {"user": self.user.get_username(), "staff": self.user.is_staff}

    @event
    async def tell(self, text: str) -> None:
        """Tell the staff's room something, in it or not."""
        if len(text) > MAX_TEXT_LENGTH:
            raise EventError(f"a text has {MAX_TEXT_LENGTH} characters at most")
        self.note("tell user=%r text=%.500r", self.user.get_username(), text)
        self.everyone.to(STAFF_ROOM).emit("told", self.user.get_username(), text)

    async def user_changed(self, old: Any) -> None:
        """Show the client who it is now, and in which rooms it still is."""
        self.emit("changed", {**await self.whoami(), "rooms": sorted(self.rooms)})

    async def unauthorized(self) -> None:
        """Tell the client why it is about to be disconnected."""
        self.emit("unauthorized", "you are not logged in any more")


class QuietConsumer(NotingConsumer):
    """A namespace of its own that only logs what it gets."""

    async def receive(self, event: str, *args: Any) -> None:
        name = repr(event)[1:-1]  # no line breaks in it
        self.note("%.100s namespace=%s args=%.500r", name, self.namespace, args)
