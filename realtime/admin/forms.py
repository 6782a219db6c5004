"""What staff fill in before something is done with sockets."""

from __future__ import annotations

import json
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.text import Truncator
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from ..cluster.sids import server_of
from ..conf import get_settings
from ..exceptions import InvalidEventName
from ..models import Server
from ..protocol.names import MAX_LENGTH
from ..sockets.messages import Format, Message
from .counting import Number
from .selection import Selection

# Sockets from which on it is asked whether all of them are meant.
MANY_SOCKETS = 100


class OperationForm(forms.Form):
    """
    The base: asks nothing but whether many sockets are meant, where they are many.

    Made for a `selection`, which has this `number` of sockets.
    """

    prefix = "do"

    def __init__(self, *args: Any, selection: Selection, number: Number, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.selection = selection
        if number.counted > MANY_SOCKETS:
            text = ngettext("Yes, %(number)s socket", "Yes, all %(number)s sockets", number.counted)
            self.fields["confirm"] = forms.BooleanField(
                label=text % {"number": number},
                error_messages={"required": _("Say that so many are meant.")},
            )

    @property
    def suggestions(self) -> list[str]:
        """Names of rooms to choose from."""
        return []


class SendForm(OperationForm):
    """An event and its arguments."""

    event = forms.CharField(
        label=_("Event"), max_length=MAX_LENGTH, widget=forms.TextInput({"class": "vTextField"})
    )
    args = forms.CharField(
        label=_("Arguments"),
        required=False,
        strip=False,
        help_text=_('A list in JSON, whose items are the arguments: ["hello", {"n": 1}]'),
        widget=forms.Textarea(
            {"class": "vLargeTextField realtime-json", "rows": 6, "spellcheck": "false"}
        ),
    )

    def clean_event(self) -> str:
        """Refuse the names that Socket.IO keeps for itself."""
        name: str = self.cleaned_data["event"]
        try:
            Message("/", name, ())
        except InvalidEventName:
            raise ValidationError(
                _("“%(name)s” is a name that Socket.IO keeps for itself."), params={"name": name}
            ) from None
        return name

    def clean_args(self) -> list[Any]:
        """Return the arguments, which can be sent."""
        text: str = self.cleaned_data["args"]
        if len(text) > (limit := get_settings().MAX_PAYLOAD):
            raise ValidationError(
                _("This is longer than %(limit)d characters."), params={"limit": limit}
            )
        args = parse_arguments(text)
        try:
            Message("/", "event", tuple(args)).frames(Format.SOCKETIO)
        except (TypeError, ValueError) as error:
            if isinstance(error.__cause__, RecursionError):  # some Pythons parse deeper than that
                raise _too_deep() from None
            raise ValidationError(
                _("This cannot be sent: %(reason)s"), params={"reason": error}
            ) from error
        return args


def parse_arguments(text: str) -> list[Any]:
    """Return a list that is written in JSON. Raises ValidationError, which says where it is not."""
    if not text.strip():
        return []
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise ValidationError(
            _("Line %(line)d, column %(column)d: %(reason)s"),
            params={"line": error.lineno, "column": error.colno, "reason": error.msg},
        ) from None
    except RecursionError:
        raise _too_deep() from None
    except ValueError as error:
        raise ValidationError(str(error)) from None
    if not isinstance(value, list):
        hint = Truncator(f"[{text.strip()}]").chars(80)
        raise ValidationError(
            _("This is no list. Put it into brackets: %(hint)s"), params={"hint": hint}
        )
    return value


def _too_deep() -> ValidationError:
    return ValidationError(_("This is nested too deeply."))


def _refuse_constant(name: str) -> None:
    raise ValidationError(_("%(name)s is no number in JSON."), params={"name": name})


class RoomForm(OperationForm):
    """A room's name."""

    room = forms.CharField(
        label=_("Room"),
        max_length=MAX_LENGTH,
        strip=False,
        widget=forms.TextInput({"class": "vTextField", "list": "realtime-rooms"}),
    )

    def clean_room(self) -> str:
        """Refuse what is a socket's id, and so no room's name."""
        name: str = self.cleaned_data["room"]
        server = server_of(name)
        if server is not None and Server.objects.filter(pk=server).exists():
            raise ValidationError(_("This is the id of a socket, and cannot be a room's name."))
        return name


class LeaveForm(RoomForm):
    """One of the rooms that the sockets are in."""

    @property
    def suggestions(self) -> list[str]:
        """The rooms that the selected sockets are in."""
        return self.selection.rooms()
