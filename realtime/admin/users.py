"""
Where a user is connected, on the page that the site's own admin has of that user.

Whatever class that admin has, it gets a read-only field more, and nothing of its form changes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.admin.utils import flatten_fieldsets
from django.contrib.auth import get_user_model
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from ..conf import get_settings
from ..expressions import LastSeen
from ..models import Socket
from .base import ago
from .counting import Number, count
from .operations import Disconnect

if TYPE_CHECKING:
    from datetime import datetime

    ModelAdmin = admin.ModelAdmin[Any]
else:
    ModelAdmin = admin.ModelAdmin

# Sockets that a user's page names.
MAX_SHOWN = 10


def user_admins(site: admin.AdminSite) -> dict[str, ModelAdmin]:
    """Return the admins of a site that are of users, or of a kind of them, by their models."""
    users, registered = get_user_model(), site._registry
    return {
        model._meta.label_lower: its_admin
        for model, its_admin in registered.items()
        if issubclass(model, users)
    }


def show_connections(site: admin.AdminSite) -> None:
    """Let the pages of users show where they are connected. Once is enough; more does nothing."""
    for user_admin in user_admins(site).values():
        known: Any = type(user_admin)
        if not issubclass(known, ShowsConnections):
            names = {"__module__": known.__module__, "__doc__": known.__doc__}
            user_admin.__class__ = type(known)(known.__name__, (ShowsConnections, known), names)


class ShowsConnections(ModelAdmin):
    """What is added to the class of an admin of users."""

    class Media:
        css = {"all": ["realtime/admin.css"]}

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Return the fieldsets, with one more for who may see sockets."""
        fieldsets = super().get_fieldsets(request, obj)
        found = self._find_connections(request, obj)
        if not found or found[0] in flatten_fieldsets(fieldsets):
            return fieldsets
        return [*fieldsets, (_("Connections"), {"fields": found})]

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Return the fields without that one, which Django takes from those to read only."""
        fields = super().get_fields(request, obj)
        return [field for field in fields if not isinstance(field, Connections)]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Return the read-only fields, with one more for who may see sockets."""
        return [
            *super().get_readonly_fields(request, obj),
            *self._find_connections(request, obj),
        ]

    def _find_connections(self, request: HttpRequest, user: Any) -> tuple[Connections, ...]:
        if user is None or not get_settings().PRESENCE:
            return ()
        if not self.admin_site.is_registered(Socket):
            return ()
        sockets = self.admin_site.get_model_admin(Socket)
        if not sockets.has_view_permission(request):
            return ()
        return (Connections(sockets, self, request),)


class Connections:
    """
    The field, for one request. Django calls it with the user, once, and compares it with others of
    the same request.
    """

    __name__ = "realtime_connections"
    short_description = Socket._meta.verbose_name_plural

    def __init__(self, sockets: Any, users: ModelAdmin, request: HttpRequest) -> None:
        self._sockets = sockets  # a SocketAdmin, whose module imports this one
        self._users = users
        self._request = request

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Connections)

    def __hash__(self) -> int:
        return hash(Connections)

    def __call__(self, user: Any) -> SafeString:
        """Return what the field shows."""
        sockets = Socket.objects.online().filter(user=user.pk)
        newest = list(sockets.order_by("-connected_at", "-sid")[: MAX_SHOWN + 1])
        found = count(sockets) if len(newest) > MAX_SHOWN else Number(len(newest), more=False)
        context = {
            "rows": [self._row(socket) for socket in newest[:MAX_SHOWN]],
            "more": found.counted > MAX_SHOWN,
            "all": self._sockets.link_to_list(Socket, _sockets(found), user=user.pk),
            "disconnect": Disconnect(),
            "disconnect_url": self._disconnect_url(user),
            "last_seen": None if newest else _last_seen(user),
        }
        return render_to_string("admin/realtime/connections.html", context)

    def _row(self, socket: Socket) -> dict[str, Any]:
        admin = self._sockets
        return {
            "namespace": admin.link_to(Socket, socket.sid, socket.namespace),
            "transport": admin.transport_shown(socket),
            "address": socket.address,
            "connected": admin.connected(socket),
        }

    def _disconnect_url(self, user: Any) -> str | None:
        if not self._sockets.may(self._request, Disconnect()):
            return None
        model = self._users.model._meta.label_lower
        url: str = self._sockets.url_of(Socket._meta, "disconnect_user", user.pk, model)
        return url


def _sockets(number: Number) -> str:
    return ngettext("%(number)s socket", "%(number)s sockets", number.counted) % {"number": number}


def _last_seen(user: Any) -> SafeString | None:
    """Return how long ago a user was seen who is not online; None for who never was."""
    rows = get_user_model()._base_manager.filter(pk=user.pk).annotate(at=LastSeen())
    moment: datetime | None = rows.values_list("at", flat=True).first()
    return None if moment is None else ago(moment)
