"""The rooms that somebody is in, and what can be done with all of their members."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Min, OuterRef, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from ..models import Membership, Room, Socket
from .base import online
from .counting import MANY, CountUpTo, Number
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
    readonly_fields = ("name_shown", "members")
    fields = ("name_shown", "namespace", "members")

    def get_online(self, request: HttpRequest) -> QuerySet[Any]:
        """Return all rooms; those without a living member are left out of their page."""
        rooms: QuerySet[Any] = Room.objects.all()
        return rooms

    def complete(self, rows: list[Any]) -> list[Any]:
        """Count the members of these rooms; return those that have any."""
        numbers = count_members([room.key for room in rows])
        for room in rows:
            room.found = numbers.get(room.key, 0)
        return [room for room in rows if room.found]

    @admin.display(description=_("name"), ordering="name")
    def name_shown(self, room: Room) -> str:
        """The name; quotes where it would be invisible."""
        return room.name if room.name.strip() else f"“{room.name}”"

    @admin.display(description=_("members"))
    def members(self, room: Any) -> str:
        """How many sockets are in it, with a link to them."""
        return self.link_to_list(Socket, Number.of(room.found, MANY), room_key=room.key)


def count_members(keys: list[str]) -> dict[str, int]:
    """Return how many sockets of living servers are in rooms, up to one more than MANY."""
    here = online(Membership.objects.filter(key=OuterRef("key")), "socket__server")
    firsts = Membership.objects.filter(key__in=keys).values("key").annotate(first=Min("pk"))
    rooms = Membership.objects.filter(pk__in=firsts.values("first"))
    return dict(rooms.annotate(found=CountUpTo(here, MANY)).values_list("key", "found"))
