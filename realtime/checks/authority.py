"""Who may be in namespaces and rooms: what is declared, and whether anybody can have it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.contrib.auth import get_backends, get_permission_codename
from django.core.checks import CheckMessage, Tags, Warning, register

from ..authority.declarations import permissions_of
from ..client_rooms import ClientRooms
from ..consumers import NamespaceConsumer
from ..identity.logins import find_anonymity
from ..sockets.overrides import path_of
from .namespaces import usable_consumers
from .settings import usable_settings


@register(Tags.compatibility)
def check_authority(**kwargs: Any) -> Iterator[CheckMessage]:
    """W017: users, where there are none; W018: an unknown permission; W019: rooms for nobody."""
    if usable_settings() is None:
        return
    found: dict[str, CheckMessage] = {}
    for consumer_class, initkwargs in usable_consumers():
        for message in _check_class(consumer_class, initkwargs):
            found[message.msg] = message
    yield from found.values()


def _check_class(
    consumer_class: type[NamespaceConsumer], initkwargs: dict[str, Any]
) -> Iterator[CheckMessage]:
    path = path_of(consumer_class)
    login_required, permission_required, guards = (
        initkwargs.get(name, getattr(consumer_class, name))
        for name in ("login_required", "permission_required", "guard_rooms")
    )
    names = permissions_of(permission_required)
    anonymity = find_anonymity()
    if (login_required or names) and anonymity is not None:
        yield Warning(
            f"{path} is for users who are logged in, and nobody ever is: {anonymity.reason}.",
            hint=f"{anonymity.hint} Or put middleware around get_application() that sets "
            'scope["user"].',
            id="realtime.W017",
        )
    elif names and _decides_by_models():
        for name in names:
            if (fault := _find_fault(name)) is not None:
                yield Warning(
                    f"{path} requires the permission {name!r}, and {fault}: only superusers come "
                    "in.",
                    hint='Permissions are named like "shop.view_order": the label of the app, and '
                    "the codename, as user.has_perm() has it.",
                    id="realtime.W018",
                )
    if (guards or issubclass(consumer_class, ClientRooms)) and (
        consumer_class.may_join is NamespaceConsumer.may_join
    ):
        yield Warning(
            f"{path} asks may_join() which rooms a client may be in, and does not write it: none.",
            hint="Write may_join(self, room), which returns True for a room that the client may "
            "join; def, or async def.",
            id="realtime.W019",
        )


def _decides_by_models() -> bool:
    """Tell whether Django's own backends alone say who has a permission; others may know more."""
    # They need the app, which is there wherever this is asked.
    from django.contrib.auth.backends import BaseBackend, ModelBackend  # noqa: PLC0415

    own = (ModelBackend.has_perm, BaseBackend.has_perm)
    return all(getattr(type(each), "has_perm", own[0]) in own for each in get_backends())


def _find_fault(name: str) -> str | None:
    """Return why no user has a permission, or None."""
    app, _, codename = name.partition(".")
    try:
        models = list(apps.get_app_config(app).get_models())
    except LookupError:
        return f"there is no app {app!r}"
    known = {
        codename
        for model in models
        for codename in (
            *(
                get_permission_codename(each, model._meta)
                for each in model._meta.default_permissions
            ),
            *(codename for codename, _ in model._meta.permissions),
        )
    }
    return None if codename in known else f"no model of the app {app!r} has it"
