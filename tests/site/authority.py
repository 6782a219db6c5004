"""Namespaces that are not for everybody, and one that says who may be in them."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.models import Group, Permission, User
from django.contrib.sessions.backends.db import SessionStore

import realtime
from realtime import ClientRooms, NamespaceConsumer, event


class MembersConsumer(ClientRooms):
    """The namespace "/members": for users, who may be in the rooms of their groups."""

    login_required = True

    async def connect(self, auth: Any) -> None:
        if not self.recovered:
            self.join(*auth.get("rooms", ()))

    def may_join(self, room: str) -> bool:
        return self.user.groups.filter(name=room).exists()

    @event
    async def where(self) -> list[str]:
        return sorted(self.rooms)


class GuardedConsumer(MembersConsumer):
    """The namespace "/guarded": the site itself puts nobody into other rooms."""

    guard_rooms = True


class ViewersConsumer(NamespaceConsumer):
    """The namespace "/viewers": for users who may view sockets."""

    permission_required = "realtime.view_socket"

    async def connect(self, auth: Any) -> None:
        self.emit("welcome", self.user.username)


class RightsConsumer(NamespaceConsumer):
    """The namespace "/rights": gives and takes rights, and sends to users."""

    @event("new user")
    def new_user(self, name: str, permissions: list[str], groups: list[str]) -> list[Any]:
        """Make a user with these permissions and groups; return the keys of user and session."""
        user = User.objects.create_user(name)
        user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
        user.groups.set([Group.objects.get_or_create(name=group)[0] for group in groups])
        session = SessionStore()
        session[SESSION_KEY] = str(user.pk)
        session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
        session[HASH_SESSION_KEY] = user.get_session_auth_hash()
        session.save()
        return [user.pk, session.session_key]

    @event("take rights")
    def take_rights(self, name: str) -> None:
        user = User.objects.get(username=name)
        user.user_permissions.clear()
        user.groups.clear()

    @event("to room")
    async def to_room(self, namespace: str, room: str, *args: Any) -> None:
        realtime.of(namespace).to(room).emit("said", *args)

    @event("to user")
    async def tell_user(self, namespace: str, user: Any, *args: Any) -> None:
        realtime.of(namespace).to_user(user).emit("said", *args)

    @event("to user in a thread")
    def tell_user_in_a_thread(self, namespace: str, name: str, *args: Any) -> None:
        users = User.objects.filter(username=name)
        realtime.of(namespace).to_user(*users).on_commit().emit("said", *args)

    @event("of user")
    async def of_user(self, namespace: str, user: Any, action: str, *names: str) -> None:
        """Let the sockets of a user do something, and wait until that is in effect."""
        await getattr(realtime.of(namespace).to_user(user), action)(*names)

    @event("ask user")
    async def ask_user(self, namespace: str, user: Any) -> list[Any]:
        """Ask the sockets of a user; answer with what they say, and with how many there are."""
        meant = realtime.of(namespace).to_user(user)
        answers = await meant.acall("question", timeout=20)
        sids = [socket.sid async for socket in meant.sockets()]
        return [dict(answers), sorted(sids), await meant.acount()]
