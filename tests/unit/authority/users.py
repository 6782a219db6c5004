"""Users of the site, with permissions and without."""

from __future__ import annotations

from typing import Any

from channels.db import database_sync_to_async
from django.contrib.auth.models import Group, Permission, User

VIEW, SEND = "realtime.view_socket", "realtime.send_event"


@database_sync_to_async
def new_user(name: str, *permissions: str, group: str = "", **fields: Any) -> User:
    """Return a saved user with these permissions, by a group where one is named."""
    user = User.objects.create_user(name, **fields)
    found = [
        Permission.objects.get(content_type__app_label=app, codename=codename)
        for app, codename in (each.split(".") for each in permissions)
    ]
    if group:
        members, _ = Group.objects.get_or_create(name=group)
        members.permissions.add(*found)
        user.groups.add(members)
    else:
        user.user_permissions.add(*found)
    return User.objects.get(pk=user.pk)


@database_sync_to_async
def remove_permissions(user: User) -> None:
    """Take all of a user's own permissions away."""
    user.user_permissions.clear()
