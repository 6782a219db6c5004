"""What the lists can be narrowed by. Values of which there may be any number are typed in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from ..models import Membership, Room, Server
from ..protocol.names import find_fault
from .base import NOTHING, recovers
from .counting import MANY

if TYPE_CHECKING:
    from django.contrib.admin.views.main import ChangeList
    from django_stubs_ext import StrOrPromise

# Namespaces that are offered to choose from.
MAX_CHOICES = 20


class TypedFilter(admin.SimpleListFilter):
    """A filter for a text, with or without texts to choose from. The empty text filters nothing."""

    template = "admin/realtime/typed_filter.html"

    def has_output(self) -> bool:
        """Show the filter always, also with one choice or none."""
        return True

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[Any, StrOrPromise]]:
        """Offer nothing to choose from."""
        return ()

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        """Yield what the form has to keep of the URL, then what can be chosen."""
        kept = {
            name: values
            for name, values in changelist.filter_params.items()
            if name not in self.expected_parameters()
        }
        yield {
            "parameter": self.parameter_name,
            "value": self.value() or "",
            "kept": [(name, value) for name, values in kept.items() for value in values],
            "clear": changelist.get_query_string(
                remove=[name for name in self.expected_parameters() if name]
            ),
        }
        for choice in super().choices(changelist):
            if self.lookup_choices:
                yield choice


class NamespaceFilter(TypedFilter):
    """Rows of one namespace, chosen while there are few, and typed where there are many."""

    title = _("namespace")
    parameter_name = "namespace"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[Any, StrOrPromise]]:
        """Offer the namespaces while there are few."""
        rows = model_admin.model._default_manager.order_by("namespace")
        found = list(rows.values_list("namespace", flat=True).distinct()[: MAX_CHOICES + 1])
        return [(name, name) for name in found] if len(found) <= MAX_CHOICES else ()

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return the rows that the filter leaves."""
        name = self.value()
        if not name:
            return queryset
        return queryset.none() if find_fault(name) else queryset.filter(namespace=name)


class RoomFilter(TypedFilter):
    """
    Sockets in a room, by its name, in all namespaces or the one that is filtered by.

    Links name a room by its key: `?room_key=`.
    """

    title = _("room")
    parameter_name = "room"
    key_name = "room_key"

    def __init__(
        self, request: HttpRequest, params: dict[str, list[str]], model: Any, model_admin: Any
    ) -> None:
        super().__init__(request, params, model, model_admin)
        if (keys := params.pop(self.key_name, None)) is not None:
            self.used_parameters[self.key_name] = keys[-1]

    def expected_parameters(self) -> list[str | None]:
        """Return the names of both of the filter's parameters."""
        return [self.parameter_name, self.key_name]

    def value(self) -> str | None:
        """Return the room's name, also of a room that is known by its key."""
        return super().value() if self.key is None else self._name_of_key

    @property
    def key(self) -> str | None:
        """The room's key, where it was given."""
        return self.used_parameters.get(self.key_name)

    @cached_property
    def _name_of_key(self) -> str | None:
        if find_fault(self.key or ""):
            return None
        member = Membership.objects.filter(key=self.key).first()
        return member.room if member else self.key

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return the rows that the filter leaves."""
        name = self.value()
        if self.key:
            return (
                queryset.filter(memberships__key=self.key) if name is not None else queryset.none()
            )
        if not name:
            return queryset
        if find_fault(name):
            return queryset.none()
        rooms = Room.objects.filter(name=name).order_by("namespace", "name", "key")
        if namespace := request.GET.get(NamespaceFilter.parameter_name):
            rooms = rooms.filter(namespace=namespace)
        # By their keys, which an index leads to; a join would be read in full.
        keys = [room.key for room in rooms[:MANY]]
        return queryset.filter(memberships__key__in=keys)


class ServerFilter(admin.SimpleListFilter):
    """Sockets of one living server."""

    title = _("server")
    parameter_name = "server"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[Any, StrOrPromise]]:
        """Offer the living servers."""
        return [(server.pk, str(server)) for server in Server.objects.living().order_by("name")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return the rows that the filter leaves."""
        server = self.value()
        return queryset if server is None else queryset.filter(server=server)


class UserFilter(admin.SimpleListFilter):
    """Sockets of one user, whose page leads here; shown while it is in use."""

    title = _("user")
    parameter_name = "user"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[Any, StrOrPromise]]:
        """Offer the user."""
        if self.value() is None:
            return ()
        return [(self.value(), NOTHING if self._user is None else self._user.get_username())]

    @cached_property
    def _user(self) -> Any:
        key: Any = self.value()
        try:
            return get_user_model()._default_manager.filter(pk=key).first()
        except (ValueError, ValidationError):  # that is no key of a user
            return None

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return the rows that the filter leaves."""
        if self.value() is None:
            return queryset
        return queryset.none() if self._user is None else queryset.filter(user=self._user)


class AwayFilter(admin.SimpleListFilter):
    """Sockets whose client is connected, or away; shown where clients that drop may come back."""

    title = _("presence")
    parameter_name = "away"

    def has_output(self) -> bool:
        """Show the filter where there may be a difference, or it is in use."""
        return recovers() or self.value() is not None

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[Any, StrOrPromise]]:
        """Offer both."""
        return (("0", pgettext_lazy("socket", "connected")), ("1", pgettext_lazy("socket", "away")))

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return the rows that the filter leaves."""
        away = {"0": True, "1": False}.get(self.value() or "")
        return queryset if away is None else queryset.filter(away_since__isnull=away)
