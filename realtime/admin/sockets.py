"""The sockets: who is connected, and what can be done with them."""

from __future__ import annotations

import json
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from ..cluster.sids import server_of
from ..models import Room, Server, Socket
from .base import NOTHING, ago, attributes_of, online, span
from .filters import AwayFilter, NamespaceFilter, RoomFilter, ServerFilter, UserFilter
from .live_page import live_page
from .operations import Disconnect, Join, Leave, Send
from .selection import ChosenSockets, SocketsOfUser
from .steering import APP, SteeringAdmin, as_action
from .users import show_connections, user_admins

# Characters of an id in the list.
SHORT_ID = 10

# Rooms that a socket's page names.
MAX_ROOMS = 100

OF_USER = "of-user/<path:object_id>/as/<str:model>/disconnect/"


class SocketAdmin(SteeringAdmin):
    """The sockets of living servers, the newest first."""

    operations = (Send(), Join(), Leave(), Disconnect())
    actions = [as_action(operation) for operation in operations]
    selection_class = ChosenSockets
    ordering = ("-connected_at", "-sid")
    list_display = (
        "short_id",
        "user_link",
        "namespace",
        "connected",
        "address",
        "transport_shown",
        "server_link",
    )
    list_filter = (NamespaceFilter, RoomFilter, ServerFilter, "transport", AwayFilter, UserFilter)
    search_fields = ("sid", "user", "address")
    search_help_text = _("An id, the start of an address, or a part of a user's name.")
    readonly_fields = (
        "id_code",
        "rooms",
        "data_code",
        "user_link",
        "transport_shown",
        "server_link",
        "connection_link",
    )
    fieldsets = (
        (None, {"fields": ("id_code", "namespace", "rooms", "data_code")}),
        (_("Client"), {"fields": ("user_link", "address", "user_agent")}),
        (
            _("Connection"),
            {"fields": ("transport_shown", "server_link", "connection_link", "connected_at")},
        ),
    )

    def get_online(self, request: HttpRequest) -> QuerySet[Any]:
        """Return the sockets of living servers."""
        # A join with the few servers would be where MariaDB begins, and sorts all sockets then.
        return online(Socket.objects.select_related("user").prefetch_related("server"), "server")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Find each word in the id, the address or the user's name."""
        for word in search_term.split():
            if server_of(word) is not None:
                queryset = queryset.filter(sid=word)
                continue
            users = get_user_model()._default_manager.filter(
                **{f"{get_user_model().USERNAME_FIELD}__icontains": word}
            )
            queryset = queryset.filter(
                Q(sid__startswith=word)
                | Q(address__startswith=word)
                | Q(user__in=users.values("pk"))
            )
        return queryset, False

    def get_urls(self) -> list[Any]:
        """
        Return the URLs, with those of the live page and of what is done from users' pages.

        All models of the site are registered by now, so these pages get what they show.
        """
        show_connections(self.admin_site)
        view = self.admin_site.admin_view
        return [
            path("live/", view(self.live_view), name="realtime_live"),
            path(OF_USER, view(self.disconnect_user), name=f"{APP}_socket_disconnect_user"),
            *super().get_urls(),
        ]

    def live_view(self, request: HttpRequest) -> HttpResponse:
        """Show what happens, as it happens."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        return live_page(request, self.admin_site)

    def disconnect_user(self, request: HttpRequest, object_id: str, model: str) -> HttpResponse:
        """Ask whether all sockets of a user are to be disconnected, and do it."""
        user_admin = user_admins(self.admin_site).get(model)
        user = None if user_admin is None else user_admin.get_object(request, unquote(object_id))
        if user_admin is None or user is None:
            raise Http404
        may_view_user = user_admin.has_view_permission(request, user)
        if not (may_view_user and self.has_view_permission(request)):
            raise PermissionDenied
        page = self.url_of(user_admin.opts, "change", user.pk)
        selection = SocketsOfUser([user])
        if request.method == "GET" and not selection.sockets.exists():
            self.message_user(request, gettext("Not connected."), messages.WARNING)
            return HttpResponseRedirect(page)
        options = user_admin.opts
        response = self.operate(request, Disconnect(), selection, back=page, options=options)
        return response or HttpResponseRedirect(page)

    # Columns

    @admin.display(description=_("id"))
    def short_id(self, socket: Socket) -> SafeString:
        """The start of the id, which is as good in a list; the whole one to look up."""
        start = socket.sid[:SHORT_ID]
        return format_html('<code title="{}">{}…</code>', socket.sid, start)

    @admin.display(description=_("id"))
    def id_code(self, socket: Socket) -> SafeString:
        """The id, as programs write it."""
        return format_html("<code>{}</code>", socket.sid)

    @admin.display(description=_("user"), ordering="user", empty_value=NOTHING)
    def user_link(self, socket: Socket) -> str | None:
        """The user, with a link to its page."""
        if socket.user is None:
            return None
        return self.link_to(get_user_model(), socket.user.pk, socket.user.get_username())

    @admin.display(description=_("transport"), ordering="transport")
    def transport_shown(self, socket: Socket) -> str:
        """The transport; of a client that is away, its last one and since when."""
        transport = socket.get_transport_display()
        if socket.away_since is None:
            return transport
        return format_html(
            '{} <time class="realtime-health realtime-late" {}>{}</time>',
            transport,
            attributes_of(socket.away_since),
            gettext("away for %(time)s") % {"time": span(socket.away_since, timezone.now())},
        )

    @admin.display(description=_("server"), ordering="server__name")
    def server_link(self, socket: Socket) -> str:
        """The server, with a link to its page."""
        return self.link_to(Server, socket.server_id, socket.server)

    @admin.display(description=_("connection"))
    def connection_link(self, socket: Socket) -> str:
        """The connection, with a link to all of its sockets."""
        return self.link_to_list(
            Socket, socket.connection, server=socket.server_id, connection=socket.connection
        )

    @admin.display(description=_("connected"), ordering="connected_at")
    def connected(self, socket: Socket) -> SafeString:
        """How long ago the socket connected."""
        return ago(socket.connected_at)

    @admin.display(description=_("rooms"), empty_value=NOTHING)
    def rooms(self, socket: Socket) -> SafeString | None:
        """The rooms that it is in, each with a link."""
        members = list(socket.memberships.order_by("room")[: MAX_ROOMS + 1])
        if not members:
            return None
        links = format_html_join(
            "",
            "<li>{}</li>",
            (
                (self.link_to(Room, member.key, member.room or "“”"),)
                for member in members[:MAX_ROOMS]
            ),
        )
        return format_html(
            '<ul class="realtime-rooms">{}{}</ul>', links, self._more_rooms(socket, members)
        )

    @admin.display(description=_("data"), empty_value=NOTHING)
    def data_code(self, socket: Socket) -> SafeString | None:
        """What its consumer shares, as it is in JSON."""
        if not socket.data:
            return None
        text = json.dumps(socket.data, indent=2, ensure_ascii=False)
        return format_html('<pre class="realtime-data">{}</pre>', text)

    def _more_rooms(self, socket: Socket, shown: list[Any]) -> SafeString:
        if len(shown) <= MAX_ROOMS:
            return mark_safe("")
        number = socket.memberships.count() - MAX_ROOMS
        text = ngettext("and %(number)d more room", "and %(number)d more rooms", number)
        return format_html("<li>{}</li>", text % {"number": number})
