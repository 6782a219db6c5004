"""
The namespace "/realtime/live": what all servers count, every two seconds, for staff only.

The live page of the admin is its client.
"""

from __future__ import annotations

import asyncio
from importlib import import_module
from itertools import islice
from typing import Any

from django.conf import settings
from django.contrib.auth import SESSION_KEY, get_user, get_user_model
from django.db import DatabaseError
from django.http import HttpRequest
from django.urls import path
from django.utils import translation
from django.utils.translation import gettext as _

from ..cluster.peers import BEAT
from ..consumers import NamespaceConsumer
from ..exceptions import ConnectionRefused
from ..execution.calls import call_apart
from ..hub.hub import Hub
from ..outside.process import get_hub
from ..permissions import VIEW

NAMESPACE = "/realtime/live"

# As many servers, and news of all of them, as the page shows.
MAX_SERVERS, MAX_NEWS = 200, 50

# Seconds from one look at the user's rights to the next.
CHECK = 4.0


class LiveConsumer(NamespaceConsumer):
    """
    Sends "state" to a staff member who may view sockets, until that right is lost: then "refused"
    with the reason.

    `auth` may name the language of reasons: ``{"language": "ru"}``.
    """

    async def connect(self, auth: dict[str, Any]) -> None:
        self.data["language"] = auth.get("language")
        if (reason := await self._refusal()) is not None:
            raise ConnectionRefused(reason, {"code": 403})
        self.spawn(self._feed())

    async def _feed(self) -> None:
        """Send what is known again and again, while the user may see it."""
        hub = get_hub()
        clock = asyncio.get_running_loop().time
        checked = clock()
        while True:
            # Who comes back wants the newest one, and no others.
            self.volatile().emit("state", state(hub))
            await asyncio.sleep(BEAT)
            if clock() - checked < CHECK:
                continue
            checked = clock()
            try:
                reason = await self._refusal()
            except DatabaseError:
                continue  # nobody has lost a right by that
            if reason is not None:
                self.emit("refused", reason)
                self.close()
                return

    async def _refusal(self) -> str | None:
        """Return why the user may not see it, or None."""
        slots = get_hub().sync_handlers
        reason: str | None = await call_apart(self._check, slots=slots)
        return reason

    def _check(self) -> str | None:
        user = current_user(self.scope)
        with translation.override(_language(self.data["language"])):
            if user is None or not user.is_active or not getattr(user, "is_staff", False):
                return _("Only staff may see this. Log in to the admin.")
            if not user.has_perm(VIEW):
                return _("You have no permission to view sockets.")
        return None


def current_user(scope: dict[str, Any]) -> Any:
    """Return who the client's session, or else its scope, belongs to now; None for nobody."""
    session = scope.get("session")
    if session is not None and session.get(SESSION_KEY) is not None:
        request = HttpRequest()
        engine = import_module(settings.SESSION_ENGINE)
        request.session = engine.SessionStore(session.session_key)
        return get_user(request)
    pk: Any = getattr(scope.get("user"), "pk", None)
    return get_user_model()._default_manager.filter(pk=pk).first()


def _language(wish: Any) -> str:
    """Return a language that the site has, the client's wish if it is one."""
    try:
        return translation.get_supported_language_variant(str(wish))
    except LookupError:
        return settings.LANGUAGE_CODE


def state(hub: Hub) -> dict[str, Any]:
    """
    Return what is known of every server: its id, and what `Hub.describe` tells.

    However many tell of themselves, it is no more than a page can show.
    """
    reports = {hub.server_id: hub.describe(), **hub.cluster.reports()}
    shown = list(islice(reports.items(), MAX_SERVERS))
    times = sorted(item["at"] for _, report in shown for item in report.get("news", ()))
    since = times[-MAX_NEWS] if len(times) > MAX_NEWS else 0.0
    return {"servers": [{"id": server, **_since(since, report)} for server, report in shown]}


def _since(since: float, report: dict[str, Any]) -> dict[str, Any]:
    """Return a report with its news from a time on."""
    return report | {"news": [each for each in report.get("news", ()) if each["at"] >= since]}


namespaces = [path(f"{NAMESPACE[1:]}/", LiveConsumer.as_asgi())]
