"""
How an ASGI application is put together: which applications stand inside it, and around others.

Routers, middleware of any kind, and functions around them are looked through.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from functools import partial
from types import FunctionType, MethodType
from typing import Any, NamedTuple

from channels.routing import ProtocolTypeRouter, URLRouter
from django.core.handlers.asgi import ASGIHandler
from django.urls.exceptions import Resolver404

Scope = dict[str, Any]

# So many objects are looked at: an application that holds more holds other things.
MAX_SEEN = 1000


class Found(NamedTuple):
    """An application, and those that a request passes before it, the outermost first."""

    application: Any
    around: tuple[Any, ...]


def find(application: Any, *kinds: type, scope_type: str = "") -> Iterator[Found]:
    """
    Yield the outermost applications of some kinds in an application, itself included.

    With a `scope_type`, such as "websocket", only what ProtocolTypeRouters lead such scopes to.
    """
    seen: set[int] = set()
    waiting = [Found(application, ())]
    while waiting and len(seen) < MAX_SEEN:
        found = waiting.pop(0)
        if id(found.application) in seen:
            continue
        seen.add(id(found.application))
        if isinstance(found.application, kinds):
            yield found
            continue
        around = (*found.around, found.application)
        waiting += [Found(each, around) for each in _inside(found.application, scope_type)]


def _inside(application: Any, scope_type: str) -> list[Any]:
    """Return what an application may lead requests to."""
    if isinstance(application, ProtocolTypeRouter):
        mapping = application.application_mapping
        return [app for kind, app in mapping.items() if not scope_type or kind == scope_type]
    if isinstance(application, URLRouter):
        return [route.callback for route in application.routes]
    if isinstance(application, (ASGIHandler, type)) or hasattr(application, "consumer_class"):
        return []
    return [each for each in _values(application) if _may_serve(each)]


def _values(application: Any) -> list[Any]:
    """Return what a function or an object refers to by itself."""
    if isinstance(application, partial):
        return [application.func, *application.args, *application.keywords.values()]
    if isinstance(application, MethodType):
        return [application.__self__, application.__func__]
    if isinstance(application, FunctionType):
        names = inspect.getclosurevars(application)
        return [*names.nonlocals.values(), *names.globals.values()]
    slots = [name for base in type(application).__mro__ for name in vars(base).get("__slots__", ())]
    named = [getattr(application, name, None) for name in slots if isinstance(name, str)]
    return [*getattr(application, "__dict__", {}).values(), *named]


def _may_serve(value: Any) -> bool:
    """Tell whether a value may be an ASGI application."""
    if not callable(value) or isinstance(value, type):
        return False
    if not isinstance(value, (FunctionType, MethodType, partial)):
        return True
    try:
        inspect.signature(value).bind("scope", "receive", "send")
    except (TypeError, ValueError):
        return False
    return True


def find_routers(application: Any) -> list[URLRouter]:
    """Return the outermost URLRouters for WebSockets in an application."""
    found = find(application, URLRouter, scope_type="websocket")
    return [router for router, _ in found]


def has_route(routers: list[URLRouter], scope: Scope) -> bool:
    """Tell whether one of the outermost routers has a route for a scope, as URLRouter does."""
    if "path_remaining" in scope:
        return any(_matches(router, scope["path_remaining"]) for router in routers)
    path, root = scope["path"], scope.get("root_path", "")
    return path.startswith(root) and any(_matches(each, path[len(root) :]) for each in routers)


def _matches(router: URLRouter, path: str) -> bool:
    for route in router.routes:
        try:
            match = route.pattern.match(path.lstrip("/"))
        except Resolver404:
            continue
        if match:
            nested = find_routers(route.callback)
            if not nested or any(_matches(each, match[0]) for each in nested):
                return True
    return False
