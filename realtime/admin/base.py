"""What the lists have in common: rows to read, kept by the servers, in tables that may be big."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib import admin, messages
from django.contrib.admin.utils import quote
from django.contrib.admin.views.main import ChangeList
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.timesince import timesince
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from ..conf import get_settings
from ..models import Server
from .counting import BoundedPaginator

if TYPE_CHECKING:
    from datetime import datetime

    from django.db.models.options import Options

    ModelAdmin = admin.ModelAdmin[Any]
else:
    ModelAdmin = admin.ModelAdmin

NOTHING = "–"


class CompletedChangeList(ChangeList):
    """A list whose admin adds to the rows of one page what no query for all rows should read."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.title = capfirst(str(self.opts.verbose_name_plural))

    def get_results(self, request: HttpRequest) -> None:
        """Find the page's rows, and complete them."""
        super().get_results(request)
        # The number stands below the list; beside the search it would be there a second time, and
        # without what says that there are more.
        self.full_result_count = self.result_count
        admin: Any = self.model_admin
        self.result_list: Any = admin.complete(list(self.result_list[: self.list_max_show_all]))


class PresenceAdmin(ModelAdmin):
    """
    A list of what presence knows, to read only.

    While presence is off there is nothing to show.
    """

    paginator = BoundedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    list_per_page = 100
    list_max_show_all = 200

    class Media:
        css = {"all": ["realtime/admin.css"]}
        js = ["realtime/filters.js"]

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody adds rows: the servers do."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody changes rows."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody deletes rows."""
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return the rows that are true now; none while presence is off."""
        rows: QuerySet[Any] = (
            self.get_online(request) if get_settings().PRESENCE else self.model.objects.none()
        )
        ordering = self.get_ordering(request)
        return rows.order_by(*ordering) if ordering else rows

    def get_online(self, request: HttpRequest) -> QuerySet[Any]:
        """Return the rows that are true now."""
        raise NotImplementedError

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        """Return the class of the list."""
        return CompletedChangeList

    def complete(self, rows: list[Any]) -> list[Any]:
        """Return the rows of a page that are shown, with what is shown beyond their fields."""
        return rows

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Any:
        """Return one row, complete."""
        row = super().get_object(request, object_id, from_field)
        return next(iter(self.complete([row])), None) if row else None

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the list, and say so where presence is off."""
        if not get_settings().PRESENCE and request.method == "GET":
            text = _("Presence is off, so nobody knows who is connected. The setting is %(name)s.")
            self.message_user(request, text % {"name": 'REALTIME["PRESENCE"]'}, messages.WARNING)
        return super().changelist_view(request, extra_context)

    # Links

    def link_to(self, model: type[Model] | Any, pk: Any, text: Any) -> SafeString | str:
        """Return a link to a row's page; the text alone where the model has no page."""
        if not self.admin_site.is_registered(model):
            return str(text)
        return format_html('<a href="{}">{}</a>', self.url_of(model._meta, "change", pk), text)

    def link_to_list(self, model: type[Model], text: Any, **filters: Any) -> SafeString | str:
        """Return a link to the list of the rows of a model that pass the filters."""
        if not self.admin_site.is_registered(model):
            return str(text)
        url = self.url_of(model._meta, "changelist", query=filters)
        return format_html('<a href="{}">{}</a>', url, text)

    def url_of(
        self, options: Options[Any], view: str, *args: Any, query: dict[str, Any] | None = None
    ) -> str:
        """Return the URL of a view of a model's admin; the first argument is a row's key."""
        return reverse(
            f"admin:{options.app_label}_{options.model_name}_{view}",
            args=[quote(key) for key in args[:1]] + list(args[1:]),
            current_app=self.admin_site.name,
            query=query,
        )


def online(rows: QuerySet[Any], server: str) -> QuerySet[Any]:
    """
    Return the rows whose server, in the field of this name, lives.

    The few dead servers are named, and mostly there are none: so the database reads rows in a
    list's order, and no more than the list shows.
    """
    dead = list(Server.objects.exclude(pk__in=Server.objects.living().values("pk")))
    return rows.exclude(**{f"{server}__in": dead}) if dead else rows


def recovers() -> bool:
    """Tell whether clients that drop may come back, and count for a while."""
    return bool(get_settings().RECOVERY)


def ago(moment: datetime) -> SafeString:
    """Return how long ago something was, with the moment itself to look up."""
    return format_html(
        "<time {}>{}</time>",
        attributes_of(moment),
        _("%(time)s ago") % {"time": span(moment, timezone.now())},
    )


def attributes_of(moment: datetime) -> SafeString:
    """Return the attributes of a `<time>` that names a moment."""
    aware = moment if settings.USE_TZ else timezone.make_aware(moment)
    return format_html(
        'datetime="{}" title="{}"',
        aware.isoformat(),
        date_format(timezone.localtime(aware), "DATETIME_FORMAT"),
    )


def span(start: datetime, end: datetime) -> str:
    """Return the time from one moment to another in words, to the second while it is short."""
    seconds = max(0, round((end - start).total_seconds()))
    if seconds >= 60:
        return timesince(start, end, depth=1)
    return ngettext("%(number)d second", "%(number)d seconds", seconds) % {"number": seconds}
