"""The ASGI application: whether Realtime is in it, where all of its clients come in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from channels.auth import AuthMiddleware
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import OriginValidator
from channels.sessions import CookieMiddleware, SessionMiddleware
from django.conf import settings as django_settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.core.handlers.asgi import ASGIHandler
from django.utils.module_loading import import_string

from ..asgi import Realtime
from ..identity.logins import session_store
from ..mounting.applications import Found, find
from ..mounting.overlaps import find_overlaps
from ..routing import check_routes
from .settings import usable_settings

# What leaves a client's user as it is: these find the same one as Realtime itself.
_HARMLESS = (AuthMiddleware, CookieMiddleware, SessionMiddleware, OriginValidator)
_ROUTERS = (ProtocolTypeRouter, URLRouter)

# Paths that a message names.
MAX_NAMED = 3


@register(Tags.compatibility)
def check_application(**kwargs: Any) -> Iterator[CheckMessage]:
    """E011: an application that cannot be loaded; and what is wrong with one that can be."""
    path = getattr(django_settings, "ASGI_APPLICATION", None)
    if not path or not _can_serve():
        return
    try:
        application = import_string(path)
    except Exception as error:  # whatever the site's module does
        yield Error(
            f"ASGI_APPLICATION {path!r} cannot be loaded: {error!r}",
            hint="Name the application of your asgi.py, like 'mysite.asgi.application'.",
            id="realtime.E011",
        )
        return
    by_type = {
        kind: next(find(application, Realtime, scope_type=kind), None)
        for kind in ("http", "websocket")
    }
    yield from _check_presence(path, application, by_type)
    yield from _check_middleware(by_type)
    yield from _check_origins(by_type["websocket"])
    yield from _check_overlaps(by_type["websocket"])


def _can_serve() -> bool:
    """Tell whether other checks find nothing for which no application can be made."""
    try:
        check_routes()
        session_store()
    except Exception:  # whatever the site's modules do
        return False
    return usable_settings() is not None


def _check_presence(
    path: str, application: Any, by_type: dict[str, Found | None]
) -> Iterator[CheckMessage]:
    """W011: no Realtime in it; E012: clients come in by one of two ways."""
    without = [kind for kind, found in by_type.items() if found is None]
    if len(without) == 2:
        if any(find(application, ASGIHandler)):
            yield Warning(
                f"ASGI_APPLICATION {path!r} serves Django, and no Realtime: every client gets "
                "a 404.",
                hint="In asgi.py write: from realtime.asgi import get_application; "
                "application = get_application()",
                id="realtime.W011",
            )
        return
    if (settings := usable_settings()) is None:
        return
    needed = {"http": "polling", "websocket": "websocket"}
    for kind in without:
        if needed[kind] in settings.TRANSPORTS:
            yield Error(
                f'ASGI_APPLICATION {path!r} leads no "{kind}" to Realtime, so clients cannot '
                f"use the transport {needed[kind]!r}.",
                hint="Give the same application to both keys: realtime = get_application(...); "
                'ProtocolTypeRouter({"http": realtime, "websocket": realtime})',
                id="realtime.E012",
            )


def _check_middleware(by_type: dict[str, Found | None]) -> Iterator[CheckMessage]:
    """W012: middleware around one of the two ways."""
    http, websocket = (_middleware(by_type[kind]) for kind in ("http", "websocket"))
    if http is None or websocket is None:
        return
    for kind, names in (("websocket", websocket - http), ("http", http - websocket)):
        if names:
            yield Warning(
                f"{', '.join(sorted(names))} stands around Realtime for {kind!r} alone. A client "
                "keeps the user and the scope of its first request, and most clients start with "
                "polling, which is HTTP; others start with a WebSocket.",
                hint="Put it around both: realtime = Middleware(get_application(...)); "
                'ProtocolTypeRouter({"http": realtime, "websocket": realtime})',
                id="realtime.W012",
            )


def _middleware(found: Found | None) -> set[str] | None:
    """Return the names of what stands around Realtime, but for what does no harm."""
    if found is None:
        return None
    around = [each for each in found.around if not isinstance(each, (*_ROUTERS, *_HARMLESS))]
    return {getattr(each, "__qualname__", type(each).__qualname__) for each in around}


def _check_origins(websocket: Found | None) -> Iterator[CheckMessage]:
    """W013: a validator of origins that refuses clients who are no browsers."""
    if websocket is None:
        return
    for validator in websocket.around:
        if isinstance(validator, OriginValidator) and "*" not in validator.allowed_origins:
            yield Warning(
                f"{type(validator).__name__} around Realtime refuses WebSockets without an "
                "Origin, which apps and programs have none of.",
                hint="Put it around your own routes alone. Realtime looks at origins itself: see "
                'CSRF_TRUSTED_ORIGINS and REALTIME["CORS_ORIGINS"].',
                id="realtime.W013",
            )


def _check_overlaps(websocket: Found | None) -> Iterator[CheckMessage]:
    """W014: a path that a route of the site's own and a namespace both claim."""
    if websocket is None:
        return
    if overlaps := find_overlaps(websocket.application.routers):
        yield Warning(
            "Routes of your URLRouter take the plain WebSockets of namespaces: "
            + ", ".join(f"{path} ({namespace})" for path, namespace in overlaps[:MAX_NAMED])
            + (f", and {len(overlaps) - MAX_NAMED} more" if len(overlaps) > MAX_NAMED else "")
            + ".",
            hint='Move REALTIME["PLAIN_PATH"] to a path that your routes leave alone, or set it to '
            "None to serve no plain WebSockets.",
            id="realtime.W014",
        )
