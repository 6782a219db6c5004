"""The live page: its texts and settings; the rest is the script's."""

from __future__ import annotations

from typing import Any

from django.contrib.admin import AdminSite
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import get_language, pgettext
from django.utils.translation import gettext as _

from ..conf import get_settings
from ..models import Socket, Transport
from ..mounting.paths import client_path
from .live import NAMESPACE
from .servers import PROBLEMS


def live_page(request: HttpRequest, site: AdminSite) -> HttpResponse:
    """Return the page."""
    request.current_app = site.name
    context = {
        **site.each_context(request),
        "opts": Socket._meta,
        "title": pgettext("page", "Live"),
        "options": _options(site),
        "texts": _texts(),
    }
    return TemplateResponse(request, "admin/realtime/live.html", context)


def _options(site: AdminSite) -> dict[str, Any]:
    """Return what the script needs to connect, and to link to a socket (by its quoted id)."""
    settings = get_settings()
    url = reverse("admin:realtime_socket_change", args=["SID"], current_app=site.name)
    return {
        "namespace": NAMESPACE,
        "path": client_path(),
        "transports": list(settings.TRANSPORTS),
        "language": get_language(),
        "socketUrl": url,
    }


def _texts() -> dict[str, Any]:
    """Return what the script says."""
    return {
        "connecting": pgettext("page", "connecting…"),
        "connected": pgettext("page", "live"),
        "disconnected": pgettext("page", "disconnected, trying again…"),
        "refused": pgettext("page", "no connection"),
        "gone": pgettext("server", "gone"),
        "clients": _("clients"),
        "rooms": _("rooms"),
        "in": pgettext("events", "in"),
        "out": pgettext("events", "out"),
        "perSecond": _("/s"),
        "up": pgettext("server", "up for"),
        "problems": {word: str(text) for word, text in PROBLEMS.items()},
        "connect": pgettext("socket", "connected"),
        "disconnect": pgettext("socket", "disconnected"),
        "away": pgettext("socket", "away"),
        "back": pgettext("socket", "back"),
        "anonymous": _("anonymous"),
        "chart": _("Events a second on %s in the last five minutes"),
        "transports": {str(value): str(label) for value, label in Transport.choices},
    }
