"""The lists in which something can be done with sockets: the menus, the pages and the log."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from django.conf import settings
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME, ActionForm, AdminForm
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path
from django.utils import translation
from django.utils.translation import gettext as _

from ..exceptions import RealtimeError
from .base import PresenceAdmin
from .counting import count
from .operations import Operation
from .running import Outcome, run
from .selection import MAX_ROWS, Selection

if TYPE_CHECKING:
    from django.db.models.options import Options

APP = "realtime"

# Rows that a page names.
MAX_NAMED = 10


def as_action(operation: Operation) -> Callable[..., Any]:
    """Return an operation as an action of a list."""

    @admin.action(description=operation.menu, permissions=[operation.permission])
    def action(
        steering: SteeringAdmin, request: HttpRequest, queryset: QuerySet[Any]
    ) -> HttpResponse | None:
        return steering.operate_on_many(request, operation, queryset)

    action.__name__ = operation.name
    return action


class MenuForm(ActionForm):
    """The menu of a list. Themes made with Alpine (unfold) show its button by what is chosen."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["action"].widget.attrs["x-model"] = "action"


class SteeringAdmin(PresenceAdmin):
    """A list with operations on its rows, each with a permission of its own."""

    action_form = MenuForm
    operations: tuple[Operation, ...] = ()
    selection_class: type[Selection]

    # Permissions: of sockets, whatever the list is of

    def has_send_event_permission(self, request: HttpRequest) -> bool:
        """Tell whether the user may send events."""
        return request.user.has_perm(f"{APP}.send_event")

    def has_join_room_permission(self, request: HttpRequest) -> bool:
        """Tell whether the user may put sockets into rooms."""
        return request.user.has_perm(f"{APP}.join_room")

    def has_leave_room_permission(self, request: HttpRequest) -> bool:
        """Tell whether the user may take sockets out of rooms."""
        return request.user.has_perm(f"{APP}.leave_room")

    def has_disconnect_socket_permission(self, request: HttpRequest) -> bool:
        """Tell whether the user may disconnect sockets."""
        return request.user.has_perm(f"{APP}.disconnect_socket")

    def may(self, request: HttpRequest, operation: Operation) -> bool:
        """Tell whether the user may do this."""
        allowed: bool = getattr(self, f"has_{operation.permission}_permission")(request)
        return allowed

    # Pages

    def get_urls(self) -> list[Any]:
        """Return the URLs, with one for each operation on one row."""
        view = self.admin_site.admin_view(self.operate_on_one)
        name = f"{APP}_{self.opts.model_name}_operate"
        return [path("<path:object_id>/do/<slug:name>/", view, name=name), *super().get_urls()]

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show a row, with what can be done with it."""
        links = [
            (operation, self.url_of(self.opts, "operate", unquote(object_id), operation.name))
            for operation in self.operations
            if self.may(request, operation)
        ]
        context = {"operations": links, **(extra_context or {})}
        return super().change_view(request, object_id, form_url, context)

    def operate_on_one(self, request: HttpRequest, object_id: str, name: str) -> HttpResponse:
        """Lead to an operation on the row of a page, and carry it out."""
        operation = next((each for each in self.operations if each.name == name), None)
        if operation is None:
            raise Http404
        if not self.has_view_permission(request):
            raise PermissionDenied
        row = self.get_object(request, unquote(object_id))
        if row is None:
            self.message_user(request, _("What was selected is gone."), messages.WARNING)
            return HttpResponseRedirect(self.url_of(self.opts, "changelist"))
        page = self.url_of(self.opts, "change", row.pk)
        response = self.operate(request, operation, self.selection_class([row]), back=page)
        if response is not None:
            return response
        gone = self.get_object(request, unquote(object_id)) is None
        return HttpResponseRedirect(self.url_of(self.opts, "changelist") if gone else page)

    def operate_on_many(
        self, request: HttpRequest, operation: Operation, queryset: QuerySet[Any]
    ) -> HttpResponse | None:
        """Lead to an operation on chosen rows, and carry it out. None leads back to the list."""
        rows = self.complete(list(queryset[: MAX_ROWS + 1]))
        if len(rows) > MAX_ROWS:
            text = _("These are too many. Filter for at most %(number)d.")
            self.message_user(request, text % {"number": MAX_ROWS}, messages.ERROR)
            return None
        if not rows:
            self.message_user(request, _("What was selected is gone."), messages.WARNING)
            return None
        back = request.get_full_path()
        return self.operate(request, operation, self.selection_class(rows), back=back)

    def operate(
        self,
        request: HttpRequest,
        operation: Operation,
        selection: Selection,
        *,
        back: str,
        options: Options[Any] | None = None,
    ) -> HttpResponse | None:
        """
        Ask what is to be known; then do it and return None.

        `options` are those of the rows' model, where that is another one than this list's.
        """
        if not self.may(request, operation):
            raise PermissionDenied
        rows, options = selection.rows, options or self.opts
        number = count(selection.sockets)
        asked = request.method == "POST" and "do" in request.POST
        form = operation.form_class(
            request.POST if asked else None, selection=selection, number=number
        )
        if asked and form.is_valid():
            self._run(request, operation, selection, form.cleaned_data)
            return None
        context = {
            **self.admin_site.each_context(request),
            "opts": options,
            "title": operation.title,
            "operation": operation,
            "row": rows[0] if len(rows) == 1 else None,
            "rows": [(row, self.url_of(options, "change", row.pk)) for row in rows[:MAX_NAMED]],
            "more_rows": max(0, len(rows) - MAX_NAMED),
            "number": number,
            "form": AdminForm(cast("Any", form), [(None, {"fields": list(form.fields)})], {}),
            "suggestions": form.suggestions,
            "chosen": _chosen(request),
            "back": back,
            "media": self.media,
        }
        request.current_app = self.admin_site.name
        return TemplateResponse(request, "admin/realtime/operation.html", context)

    def _run(
        self, request: HttpRequest, operation: Operation, selection: Selection, data: dict[str, Any]
    ) -> None:
        try:
            outcome = run(operation, selection, data)
        except RealtimeError as error:
            text = _("Nothing was done. %(reason)s") % {"reason": error}
            self.message_user(request, text, messages.ERROR)
            return
        self._report(request, operation, outcome, data)
        with translation.override(settings.LANGUAGE_CODE):
            LogEntry.objects.log_actions(
                cast("int", request.user.pk), selection.rows, CHANGE, operation.log(data)
            )

    def _report(
        self, request: HttpRequest, operation: Operation, outcome: Outcome, data: dict[str, Any]
    ) -> None:
        level = messages.SUCCESS if outcome.number.counted else messages.WARNING
        text = operation.report(outcome.number, data)
        if not outcome.confirmed:
            level = messages.WARNING
            text += " " + _("Not all servers have confirmed it yet.")
        self.message_user(request, text, level)


def _chosen(request: HttpRequest) -> list[tuple[str, str]]:
    """Return what says, in the list's own form, which rows were chosen."""
    names = ("action", "select_across", ACTION_CHECKBOX_NAME)
    if request.POST.get("select_across") == "1":
        fields = [(name, request.POST.get(name, "")) for name in names]
    else:
        fields = [(name, value) for name in names for value in request.POST.getlist(name)]
    return fields
