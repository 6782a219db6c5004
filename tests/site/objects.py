"""Namespaces and rooms of objects, for those who have a permission of each."""

from __future__ import annotations

from django.contrib.auth.models import Group
from django.urls import path

from realtime import ClientRooms


class GroupConsumer(ClientRooms):
    """The namespaces "/groups/1", "/groups/2", ...: each for who may view that group."""

    def has_permission(self) -> bool:
        group = Group.objects.filter(pk=self.kwargs["pk"]).first()
        return self.user.has_perm("auth.view_group", group)

    def may_join(self, room: str) -> bool:
        group = Group.objects.filter(name=room).first()
        return group is not None and self.user.has_perm("auth.change_group", group)


namespaces = [path("groups/<int:pk>/", GroupConsumer.as_asgi())]
