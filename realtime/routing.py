"""Namespaces are URL routes: "/orders/7" is the route ``orders/<int:pk>/`` with ``pk=7``."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import unquote

from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.dispatch import receiver
from django.urls import NoReverseMatch, Resolver404, URLResolver
from django.urls.resolvers import RegexPattern
from django.utils.module_loading import import_string

from .conf import get_settings
from .exceptions import UnknownNamespace
from .execution.calls import raise_if_signalled
from .protocol.names import find_fault
from .sockets.annotations import check_annotations


class Route(NamedTuple):
    """What serves a namespace: the consumer's class, how to make one, and the route's kwargs."""

    consumer_class: type[Any]
    initkwargs: dict[str, Any]
    kwargs: dict[str, Any]


# Routes that were found and take no parameters, by namespace. They have a bound: a "re_path" may
# match any name.
MAX_KNOWN = 1024
_known: dict[str, Route] = {}


def resolve(namespace: str) -> Route:
    """
    Return the route of a namespace like "/orders/7".

    Raises UnknownNamespace where no route matches, or for a name that cannot be kept.
    """
    if (known := _known.get(namespace)) is not None:
        return known._replace(kwargs={})
    route = _resolve(namespace)
    if not route.kwargs and len(_known) < MAX_KNOWN:
        _known[namespace] = route
    return route


def _resolve(namespace: str) -> Route:
    fits = namespace.startswith("/") and (namespace == "/" or not namespace.endswith("/"))
    if fits and find_fault(namespace) is None:
        path = namespace[1:]
        for candidate in (path + "/", path) if path else ("",):
            try:
                match = _resolver().resolve(candidate)
            except Resolver404:
                continue
            return Route(
                match.func.consumer_class,  # type: ignore[attr-defined]
                match.func.consumer_initkwargs,  # type: ignore[attr-defined]
                match.kwargs,
            )
    raise UnknownNamespace(f"no namespace {namespace[:100]!r} in REALTIME['NAMESPACES']")


def has_namespace(namespace: str) -> bool:
    """Tell whether a route leads to a namespace, also where that fails: who goes there is told."""
    try:
        resolve(namespace)
    except UnknownNamespace:
        return False
    except BaseException as error:  # of a site's own converters and modules
        raise_if_signalled(error)
    return True


@lru_cache(maxsize=4096)
def check(namespace: str) -> None:
    """Raise UnknownNamespace where no route leads to a namespace."""
    resolve(namespace)


def reverse(consumer_class: type[Any], **kwargs: Any) -> str:
    """
    Return the namespace that a consumer's class serves, with these kwargs in its route.

    Raises UnknownNamespace where no route of that class takes them.
    """
    for callback in _callbacks(_resolver()):
        if getattr(callback, "consumer_class", None) is consumer_class:
            try:
                path = _resolver().reverse(callback, **kwargs)
            except NoReverseMatch:
                continue
            return "/" + unquote(path).strip("/")  # a namespace is no URL: "Зал 1" is itself
    raise UnknownNamespace(
        f"no route of {consumer_class.__name__} takes {kwargs!r} in REALTIME['NAMESPACES']"
    )


def _callbacks(resolver: URLResolver) -> Iterator[Any]:
    for pattern in resolver.url_patterns:
        if isinstance(pattern, URLResolver):
            yield from _callbacks(pattern)
        else:
            yield pattern.callback


# Dotted paths of the app's own lists of routes.
_included: list[str] = []


def include(path: str) -> None:
    """Serve routes of the app itself, too, by the dotted path of their list; a site's own win."""
    if path not in _included:
        _included.append(path)
        _clear_caches()


@lru_cache(maxsize=1)
def _resolver() -> URLResolver:
    """Return Django's resolver over the routes that the settings name, and the app's own."""
    path = get_settings().NAMESPACES
    if not path:
        raise ImproperlyConfigured(
            'REALTIME["NAMESPACES"] is not set. Name your list of namespace routes, '
            'like "project.routing.namespaces".'
        )
    lists = [URLResolver(RegexPattern(r""), import_string(each)) for each in (path, *_included)]
    resolver = URLResolver(RegexPattern(r"^"), lists)
    for callback in _callbacks(resolver):
        if not hasattr(callback, "consumer_class"):
            raise ImproperlyConfigured(
                f"{path}: {callback!r} is not a consumer. Write path(..., Consumer.as_asgi())."
            )
        check_annotations(callback.consumer_class)  # now that all modules are imported
    return resolver


def find_namespace_patterns() -> list[Any]:
    """Return Django's URL patterns of the namespaces, and resolvers of more of them."""
    return list(_resolver().url_patterns)


def check_routes() -> None:
    """
    Load the routes of the settings.

    Raises ImportError, ImproperlyConfigured, or a RealtimeError for a class that cannot work.
    """
    _resolver()


def consumers() -> Iterator[tuple[type[Any], dict[str, Any]]]:
    """Yield the classes that the routes lead to, with what ``as_asgi()`` was given for them."""
    for callback in _callbacks(_resolver()):
        yield callback.consumer_class, callback.consumer_initkwargs


def _clear_caches() -> None:
    _resolver.cache_clear()
    _known.clear()
    check.cache_clear()


@receiver(setting_changed)
def _forget_routes(*, setting: str, **kwargs: Any) -> None:
    if setting == "REALTIME":
        _clear_caches()
