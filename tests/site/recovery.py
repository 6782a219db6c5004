"""Clients that drop and come back, and what tests do meanwhile, from inside a server."""

from __future__ import annotations

import logging
from typing import Any

from django.contrib.auth import (
    BACKEND_SESSION_KEY,
    HASH_SESSION_KEY,
    SESSION_KEY,
    get_user_model,
    logout,
)
from django.contrib.sessions.backends.db import SessionStore
from django.db import transaction
from django.http import HttpRequest

import realtime
from realtime import Broadcaster, ConnectionRefused, NamespaceConsumer, event

logger = logging.getLogger("realtime.lab")


def choose(namespace: str, rooms: list[str], excluded: list[str]) -> Broadcaster:
    """Return the sockets of a namespace in the rooms, all where there are none."""
    return realtime.of(namespace).to(*rooms).excluding(*excluded)


class RecoveryConsumer(NamespaceConsumer):
    """The namespaces "/recovery" and "/recovery/<name>"."""

    async def connect(self, auth: Any) -> None:
        wishes = auth if isinstance(auth, dict) else {}
        if "refuse" in wishes:
            raise ConnectionRefused("not any more", {"code": 403})
        if not self.recovered:
            self.join(*wishes.get("rooms", []))
        if "greet" in wishes:
            self.emit("state", self._state())

    async def disconnect(self, reason: str) -> None:
        logger.info('recovery left sid=%s reason="%s"', self.sid, reason)

    def _state(self) -> dict[str, Any]:
        return {
            "recovered": self.recovered,
            "lost": self.lost,
            "rooms": sorted(self.rooms),
            "data": self.data,
        }

    @event
    async def state(self) -> dict[str, Any]:
        return self._state()

    @event
    async def remember(self, name: str, value: Any) -> None:
        self.data[name] = value

    @event("join")
    async def enter(self, *rooms: str) -> None:
        self.join(*rooms)

    @event("leave")
    async def exit(self, *rooms: str) -> None:
        self.leave(*rooms)

    @event
    async def say(self, room: str, *args: Any) -> None:
        """Emit "n" to all in a room, this socket too."""
        self.everyone.to(room).emit("n", *args)

    @event("say to others")
    async def say_to_others(self, room: str, *args: Any) -> None:
        self.to(room).emit("n", *args)

    @event("count for me")
    async def count_for_me(self, first: int, last: int) -> None:
        """Emit the numbers from `first` to `last` to this socket alone."""
        for number in range(first, last):
            self.emit("n", number)


class DriverConsumer(NamespaceConsumer):
    """The namespace "/recovery-driver": whoever is here does things to others."""

    @event
    async def emit_to(
        self, namespace: str, rooms: list[str], excluded: list[str], event: str, *args: Any
    ) -> None:
        choose(namespace, rooms, excluded).emit(event, *args)

    @event
    async def emit_volatile(
        self, namespace: str, rooms: list[str], excluded: list[str], event: str, *args: Any
    ) -> None:
        choose(namespace, rooms, excluded).volatile().emit(event, *args)

    @event
    async def count(self, namespace: str, rooms: list[str], first: int, last: int) -> None:
        """Emit the numbers from `first` to `last`, each in a message of its own."""
        target = choose(namespace, rooms, [])
        for number in range(first, last):
            target.emit("n", number)

    @event
    def emit_at_commit(
        self, namespace: str, rooms: list[str], excluded: list[str], event: str, *args: Any
    ) -> None:
        """Emit at a commit, and -1 at one that never comes."""
        target = choose(namespace, rooms, excluded).on_commit()
        with transaction.atomic():
            target.emit(event, *args)
        with transaction.atomic():
            target.emit(event, -1)
            transaction.set_rollback(True)

    @event
    async def move(self, namespace: str, rooms: list[str], action: str, *names: str) -> None:
        """Let sockets join or leave rooms, and wait until that is in effect."""
        await getattr(choose(namespace, rooms, []), action)(*names)

    @event
    async def ask(self, namespace: str, rooms: list[str], *question: Any) -> dict[str, Any]:
        return dict(await choose(namespace, rooms, []).acall("question", *question, timeout=15))

    @event
    async def present(self, namespace: str, rooms: list[str]) -> list[list[str]]:
        """Answer with the sids and transports of those who are there, as presence knows them."""
        sockets = choose(namespace, rooms, []).sockets().order_by("sid")
        return [[socket.sid, socket.transport] async for socket in sockets]

    @event
    async def look_up(self, namespace: str, rooms: list[str]) -> list[dict[str, Any]]:
        """Answer with what presence has of those who count as there."""
        return [
            {
                "sid": socket.sid,
                "server": socket.server_id,
                "connected at": socket.connected_at.isoformat(),
                "away": socket.is_away,
            }
            async for socket in choose(namespace, rooms, []).sockets().order_by("sid")
        ]

    @event
    async def end(self, namespace: str, rooms: list[str]) -> None:
        await choose(namespace, rooms, []).close()

    @event
    async def count_there(self, namespace: str, rooms: list[str]) -> int:
        """Return how many count as there, as presence has it."""
        return await choose(namespace, rooms, []).acount()

    # Users

    @event
    def log_in(self, name: str, is_superuser: bool = False) -> str:
        """Log a user in, a new one where there is none of that name; return the session's key."""
        user, _ = get_user_model().objects.get_or_create(
            username=name, defaults={"is_staff": is_superuser, "is_superuser": is_superuser}
        )
        session = SessionStore()
        session[SESSION_KEY] = str(user.pk)
        session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
        session[HASH_SESSION_KEY] = user.get_session_auth_hash()
        session.save()
        return str(session.session_key)

    @event
    def log_out(self, key: str) -> None:
        """Do what Django's own view does."""
        request = HttpRequest()
        request.session = SessionStore(key)
        request.user = get_user_model().objects.get(pk=request.session[SESSION_KEY])
        logout(request)

    @event
    def change_password(self, name: str) -> None:
        user = get_user_model().objects.get(username=name)
        user.set_password("another one")
        user.save()
