"""What staff can do with sockets, each for those who have the permission, by the public API."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from django.utils.text import Truncator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from .counting import Number, count
from .forms import LeaveForm, OperationForm, RoomForm, SendForm

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise

    from realtime.sending.plain_calls import Pending

    from ..models import SocketQuerySet
    from .selection import Part, Selection

# Characters of an event's arguments that a log entry keeps.
LOGGED_ARGUMENTS = 500

Data = dict[str, Any]


class Operation(ABC):
    """
    One thing that can be done with sockets.

    `name` is its URL's, `permission` the codename of the permission that it needs. `title` is on
    its page, `menu` in the list's menu and `button` what does it. `hurts` marks what needs care.
    """

    name: str
    permission: str
    title: StrOrPromise
    menu: StrOrPromise
    button: StrOrPromise
    form_class: type[OperationForm] = OperationForm
    hurts = False

    @abstractmethod
    def act(self, part: Part, data: Data) -> Pending:
        """Carry the operation out on sockets of one namespace. `data` is what the form gave."""

    @abstractmethod
    def touched(self, selection: Selection, data: Data) -> SocketQuerySet:
        """Return the sockets whose number before and after tells what was done."""

    def measure(self, selection: Selection, data: Data) -> Number:
        """Return the number of sockets that `touched` returns."""
        return count(self.touched(selection, data))

    def done(self, before: Number, after: Number) -> Number:
        """Return with how many sockets it was carried out: those that are not there now."""
        return before if before.more else Number(max(0, before.counted - after.counted), more=False)

    @abstractmethod
    def report(self, number: Number, data: Data) -> str:
        """Return the sentence for who did it."""

    @abstractmethod
    def log(self, data: Data) -> str:
        """Return the sentence for the log of each row."""


class Send(Operation):
    """The operation that sends an event."""

    name = permission = "send_event"
    title = gettext_lazy("Send an event")
    menu = gettext_lazy("Send an event to selected %(verbose_name_plural)s")
    button = gettext_lazy("Send")
    form_class = SendForm

    def act(self, part: Part, data: Data) -> Pending:
        return part.sockets.emit(data["event"], *data["args"])

    def touched(self, selection: Selection, data: Data) -> SocketQuerySet:
        return selection.sockets

    def done(self, before: Number, after: Number) -> Number:
        return before

    def report(self, number: Number, data: Data) -> str:
        return ngettext(
            "The event “%(event)s” was sent to %(number)s socket.",
            "The event “%(event)s” was sent to %(number)s sockets.",
            number.counted,
        ) % {"event": data["event"], "number": number}

    def log(self, data: Data) -> str:
        if not data["args"]:
            return _("Sent the event “%(event)s”.") % {"event": data["event"]}
        args = Truncator(json.dumps(data["args"], ensure_ascii=False)).chars(LOGGED_ARGUMENTS)
        return _("Sent the event “%(event)s” with %(args)s.") % {
            "event": data["event"],
            "args": args,
        }


class Join(Operation):
    """The operation that puts sockets into a room."""

    name = permission = "join_room"
    title = gettext_lazy("Join a room")
    menu = gettext_lazy("Let selected %(verbose_name_plural)s join a room")
    button = gettext_lazy("Join")
    form_class = RoomForm

    def act(self, part: Part, data: Data) -> Pending:
        return part.sockets.join(data["room"])

    def touched(self, selection: Selection, data: Data) -> SocketQuerySet:
        return selection.members_of(data["room"])

    def done(self, before: Number, after: Number) -> Number:
        return after

    def report(self, number: Number, data: Data) -> str:
        return ngettext(
            "%(number)s socket is in the room “%(room)s” now.",
            "%(number)s sockets are in the room “%(room)s” now.",
            number.counted,
        ) % {"room": data["room"], "number": number}

    def log(self, data: Data) -> str:
        return _("Joined the room “%(room)s”.") % {"room": data["room"]}


class Leave(Operation):
    """The operation that takes sockets out of a room."""

    name = permission = "leave_room"
    title = gettext_lazy("Leave a room")
    menu = gettext_lazy("Let selected %(verbose_name_plural)s leave a room")
    button = gettext_lazy("Leave")
    form_class: type[OperationForm] = LeaveForm

    def act(self, part: Part, data: Data) -> Pending:
        return part.sockets.leave(data["room"])

    def touched(self, selection: Selection, data: Data) -> SocketQuerySet:
        return selection.members_of(data["room"])

    def report(self, number: Number, data: Data) -> str:
        return ngettext(
            "%(number)s socket left the room “%(room)s”.",
            "%(number)s sockets left the room “%(room)s”.",
            number.counted,
        ) % {"room": data["room"], "number": number}

    def log(self, data: Data) -> str:
        return _("Left the room “%(room)s”.") % {"room": data["room"]}


class Empty(Leave):
    """Take all members out of rooms."""

    title = gettext_lazy("Let all leave")
    menu = gettext_lazy("Let all leave selected %(verbose_name_plural)s")
    button = gettext_lazy("Yes, let all leave")
    form_class = OperationForm
    hurts = True

    def act(self, part: Part, data: Data) -> Pending:
        return part.sockets.leave(*part.names)

    def touched(self, selection: Selection, data: Data) -> SocketQuerySet:
        return selection.sockets

    def report(self, number: Number, data: Data) -> str:
        return ngettext("%(number)s socket left.", "%(number)s sockets left.", number.counted) % {
            "number": number
        }

    def log(self, data: Data) -> str:
        return _("Let all leave.")


class Disconnect(Operation):
    """Disconnect them from their namespace."""

    name = permission = "disconnect_socket"
    title = gettext_lazy("Disconnect")
    menu = gettext_lazy("Disconnect selected %(verbose_name_plural)s")
    button = gettext_lazy("Yes, disconnect")
    hurts = True

    def act(self, part: Part, data: Data) -> Pending:
        return part.sockets.close()

    def touched(self, selection: Selection, data: Data) -> SocketQuerySet:
        return selection.sockets

    def report(self, number: Number, data: Data) -> str:
        return ngettext(
            "%(number)s socket was disconnected.",
            "%(number)s sockets were disconnected.",
            number.counted,
        ) % {"number": number}

    def log(self, data: Data) -> str:
        return _("Disconnected.")
