"""
The namespace "/realtime/live": what all servers count, every two seconds, for staff only.

The live page of the admin is its client.
"""

from __future__ import annotations

import asyncio
from itertools import islice
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user
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


class LiveConsumer(NamespaceConsumer):
    """
    Sends "state" to a staff member who may view sockets, until that right is lost: then "refused"
    with the reason.

    `auth` may name the language of reasons: ``{"language": "ru"}``.
    """

    async def connect(self, auth: dict[str, Any]) -> None:
        self.data["language"] = auth.get("language")
        if (reason := await call_apart(self._check, slots=get_hub().sync_handlers)) is not None:
            raise ConnectionRefused(reason, {"code": 403})
        self.spawn(self._feed())

    def has_permission(self) -> bool:
        # Who comes is refused by `connect`, which knows in what language to say why.
        if "language" in self.data and (reason := self._check()) is not None:
            raise ConnectionRefused(reason, {"code": 403})
        return True

    def unauthorized(self) -> None:
        self.emit("refused", self._check() or "")

    async def _feed(self) -> None:
        """Send what is known again and again, while the user may see it."""
        hub = get_hub()
        while True:
            # Who comes back wants the newest one, and no others.
            self.volatile().emit("state", state(hub))
            await asyncio.sleep(BEAT)

    def _check(self) -> str | None:
        """Return why the user may not see it, or None."""
        user = _user_here(self.scope) if "presence_user" in self.scope else self.user
        with translation.override(_language(self.data["language"])):
            if user is None or not user.is_active or not getattr(user, "is_staff", False):
                return _("Only staff may see this. Log in to the admin.")
            if not user.has_perm(VIEW):
                return _("You have no permission to view sockets.")
        return None


def _user_here(scope: dict[str, Any]) -> Any:
    """
    Return who a client is in this database, or None, where middleware knows users of others, such
    as those of tenants: their staff is none of the whole site's.
    """
    session = scope.get("session")
    if session is not None and session.session_key is not None:
        request = HttpRequest()
        request.session = session.__class__(session.session_key)
        user = get_user(request)
        if user.is_authenticated:
            return user
    return scope["presence_user"]


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
