"""The servers: how they are, and what they hold."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.db.models import Case, QuerySet, Value, When
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext, pgettext_lazy
from django.utils.translation import gettext_lazy as _

from ..conf import get_settings
from ..fields import DatabaseNow
from ..hub.health import problems
from ..models import Server, Socket, lifetime
from ..outside.process import find_hub
from .base import NOTHING, PresenceAdmin, recovers, span
from .counting import MANY_OF_A_SERVER, Number, count, count_each

# Heartbeats after which a server is late: one was missed.
LATE_AFTER = 2

LIVING, LATE, GONE = "living", "late", "gone"

HEALTH = {
    LIVING: pgettext_lazy("server", "living"),
    LATE: pgettext_lazy("server", "late"),
    GONE: pgettext_lazy("server", "gone"),
}


# What servers report to be wrong with them, by its word.
PROBLEMS = {
    "starting": _("is starting: it takes no clients yet"),
    "draining": _("is draining: it takes no more clients"),
    "service-failed": _("%(service)s fails, and is started again"),
    "layer-down": _("the channel layer is down"),
    "layer-deaf": _("hears nothing through the channel layer"),
    "clock-off": _("the clock of %(server)s is %(ahead)s seconds ahead"),
    "files-exhausted": _("no free file descriptors: clients are refused"),
}


# What servers count from their start on, in the order in which it is shown.
COUNTED = {
    "events_in": _("events from clients"),
    "events_out": _("events to clients"),
    "dropped": _("volatile events dropped for slow clients"),
    "cut": _("clients cut off since they did not read"),
    "limited": _("events and connects beyond a limit"),
    "not_upgraded": _("clients that stayed on polling, which could not be taken over"),
    "not_moved": _("clients on polling that could not follow their requests to another process"),
    "unsent": _("calls that could not be sent"),
    "lost": _("messages of other servers lost"),
    "unlogged": _("log lines left out"),
}


def reports() -> dict[str, dict[str, Any]]:
    """Return what servers report, by their ids; nothing outside of a cluster's hub."""
    hub = find_hub()
    if hub is None:
        return {}
    return {hub.server_id: {**hub.report(), "problems": problems(hub)}, **hub.cluster.reports()}


def describe_problem(problem: Any) -> str:
    """Return a problem's text; a newer server's may be unknown."""
    try:
        text: str = str(PROBLEMS[problem["problem"]]) % problem
    except (LookupError, TypeError, ValueError):
        return str(problem)
    return text


class ServerAdmin(PresenceAdmin):
    """All servers that the database knows."""

    ordering = ("name", "id")
    list_display = (
        "name",
        "health",
        "problems_shown",
        "socket_count",
        "software",
        "versions_shown",
        "age",
        "last_seen",
    )
    search_fields = ("name", "host", "id")
    readonly_fields = (
        "health",
        "problems_shown",
        "socket_count",
        "away_count",
        "counted",
        "versions_shown",
        "age",
        "last_seen",
    )
    fieldsets = (
        (None, {"fields": ("name", "health", "problems_shown", "socket_count", "away_count")}),
        (_("Counted"), {"fields": ("counted",)}),
        (_("Process"), {"fields": ("id", "host", "pid", "software", "versions_shown")}),
        (_("Time"), {"fields": ("started_at", "age", "last_seen")}),
    )

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Return what a server's page tells."""
        (title, first), *others = super().get_fieldsets(request, obj)
        if not recovers():
            first = {**first, "fields": [name for name in first["fields"] if name != "away_count"]}
        return [(title, first), *others]

    def get_online(self, request: HttpRequest) -> QuerySet[Any]:
        """Return all servers, each with its health by the database's clock."""
        late = timedelta(seconds=get_settings().SERVER_HEARTBEAT * LATE_AFTER)
        return Server.objects.annotate(
            now=DatabaseNow(),
            state=Case(
                When(seen_at__gt=DatabaseNow() - late, then=Value(LIVING)),
                When(seen_at__gt=DatabaseNow() - lifetime(), then=Value(LATE)),
                default=Value(GONE),
            ),
        )

    def complete(self, rows: list[Any]) -> list[Any]:
        """Count the sockets of these servers."""
        found_reports = reports()
        for server in rows:
            server.report = found_reports.get(server.pk, {})
        sockets = [Socket.objects.filter(server=server.pk) for server in rows]
        for server, found in zip(rows, count_each(sockets, MANY_OF_A_SERVER), strict=True):
            server.found = found
        return rows

    @admin.display(description=_("health"), ordering="state")
    def health(self, server: Any) -> SafeString:
        """Whether it lives, has missed a heartbeat, or is gone."""
        return format_html(
            '<span class="realtime-health realtime-{}">{}</span>',
            server.state,
            HEALTH[server.state],
        )

    @admin.display(description=_("problems"), empty_value=NOTHING)
    def problems_shown(self, server: Any) -> SafeString:
        """What it reports to be wrong with it."""
        texts = ((describe_problem(problem),) for problem in server.report.get("problems", ()))
        return format_html_join(mark_safe("<br>"), "{}", texts)

    @admin.display(description=_("since its start"), empty_value=NOTHING)
    def counted(self, server: Any) -> SafeString:
        """What it has counted, and reports."""
        counts = (
            (text, server.report[name]) for name, text in COUNTED.items() if name in server.report
        )
        return format_html_join(mark_safe("<br>"), "{}: {}", counts)

    @admin.display(description=_("sockets"))
    def socket_count(self, server: Any) -> str:
        """How many sockets the server holds, with a link to them."""
        if server.state == GONE:  # they do not count, and will be removed
            return str(Number(0, more=False))
        return self.link_to_list(Socket, server.found, server=server.pk)

    @admin.display(description=pgettext_lazy("socket", "away"))
    def away_count(self, server: Any) -> str:
        """How many of its sockets are away, with a link to them."""
        if server.state == GONE:
            return str(Number(0, more=False))
        found = count(Socket.objects.filter(server=server.pk).away(), MANY_OF_A_SERVER)
        return self.link_to_list(Socket, found, server=server.pk, away="1")

    @admin.display(description=_("versions"), empty_value=NOTHING)
    def versions_shown(self, server: Server) -> SafeString:
        """The versions of what it runs."""
        # Not every database keeps their order.
        found = sorted(server.versions.items(), key=lambda item: (item[0] != "realtime", item[0]))
        return format_html_join(", ", "{} {}", found)

    @admin.display(description=_("age"), ordering="-started_at")
    def age(self, server: Any) -> str:
        """How long ago the server started."""
        return span(server.started_at, server.now)

    @admin.display(description=_("last seen"), ordering="seen_at")
    def last_seen(self, server: Any) -> str:
        """How long ago the server's last heartbeat was."""
        return gettext("%(time)s ago") % {"time": span(server.seen_at, server.now)}
