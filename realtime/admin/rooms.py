"""The rooms that somebody is in, and what can be done with all of their members."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from ..models import Membership, Room, Socket
from .base import online, recovers
from .counting import Number, count, count_each
from .filters import NamespaceFilter
from .operations import Disconnect, Empty, Join, Send
from .selection import ChosenRooms
from .steering import SteeringAdmin, as_action


class RoomAdmin(SteeringAdmin):
    """The rooms with a socket of a living server, by namespace and name."""

    operations = (Send(), Join(), Empty(), Disconnect())
    actions = [as_action(operation) for operation in operations]
    selection_class = ChosenRooms
    ordering = ("namespace", "name", "key")  # as the memberships' index has them
    list_display = ("name_shown", "namespace", "members")
    list_filter = (NamespaceFilter,)
    search_fields = ("name", "namespace")
    search_help_text = _("A part of the room's name, or of its namespace.")
    readonly_fields = ("name_shown", "members", "away_members")
    fields = ("name_shown", "namespace", "members", "away_members")

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Return what a room's page tells."""
        fields = super().get_fields(request, obj)
        return fields if recovers() else [name for name in fields if name != "away_members"]

    def get_online(self, request: HttpRequest) -> QuerySet[Any]:
        """Return all rooms; those without a living member are left out of their page."""
        rooms: QuerySet[Any] = Room.objects.all()
        return rooms

    def complete(self, rows: list[Any]) -> list[Any]:
        """Count the members of these rooms; return those that have any."""
        for room, found in zip(rows, count_members([room.key for room in rows]), strict=True):
            room.found = found
        return [room for room in rows if room.found.counted]

    @admin.display(description=_("name"), ordering="name")
    def name_shown(self, room: Room) -> str:
        """The name; quotes where it would be invisible."""
        return room.name if room.name.strip() else f"“{room.name}”"

    @admin.display(description=_("members"))
    def members(self, room: Any) -> str:
        """How many sockets are in the room, with a link to them."""
        return self.link_to_list(Socket, room.found, room_key=room.key)

    @admin.display(description=pgettext_lazy("socket", "away"))
    def away_members(self, room: Any) -> str:
        """How many of them are away, with a link to those."""
        members = Membership.objects.filter(key=room.key, socket__away_since__isnull=False)
        found = count(online(members, "socket__server"))
        return self.link_to_list(Socket, found, room_key=room.key, away="1")


def count_members(keys: list[str]) -> list[Number]:
    """Return how many sockets of living servers are in each of these rooms, up to MANY."""
    members = online(Membership.objects.all(), "socket__server")
    return count_each([members.filter(key=key) for key in keys])
