"""Paths of plain WebSockets that a site's own routes take, found by trying samples."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from channels.routing import URLRouter
from django.urls import URLResolver
from django.urls.exceptions import Resolver404
from django.utils.regex_helper import normalize

from ..conf import get_settings
from ..routing import find_namespace_patterns, has_namespace
from ..transports.plain import find_namespace
from .applications import find_routers, has_route

# What may stand for a parameter of a route.
SAMPLES = ("1", "a", "2020-01-01", "00000000-0000-4000-8000-000000000000", "a/b")


def find_overlaps(routers: list[URLRouter]) -> list[tuple[str, str]]:
    """Return paths below PLAIN_PATH that routers have a route for, each with its namespace."""
    plain_path = get_settings().PLAIN_PATH
    if plain_path is None or not routers:
        return []
    ours = [plain_path + path for path in _samples_of(find_namespace_patterns())]
    theirs = ["/" + path for router in routers for path in _samples_of(router.routes)]
    overlaps: dict[str, str] = {}
    for path in (*ours, *theirs):
        namespace = find_namespace(path)
        if (
            namespace is not None
            and has_namespace(namespace)
            and has_route(routers, {"path": path})
        ):
            overlaps.setdefault(namespace, path)
    return [(path, namespace) for namespace, path in overlaps.items()]


def _samples_of(routes: Iterable[Any]) -> Iterator[str]:
    """Yield a path for each route, also for those inside of others."""
    for route in routes:
        for start in _samples(route.pattern):
            if isinstance(route, URLResolver):
                inner: list[Any] = [route.url_patterns]
            else:
                inner = [router.routes for router in find_routers(route.callback)]
            if not inner:
                yield start
            for routes_inside in inner:
                for rest in _samples_of(routes_inside):
                    yield start + rest


def _samples(pattern: Any) -> Iterator[str]:
    """Yield paths that a pattern matches, one for each form that it has."""
    for form, names in normalize(pattern.regex.pattern):
        for value in SAMPLES:
            path = form % dict.fromkeys(names, value)
            try:
                matches = pattern.match(path)
            except Resolver404:
                matches = None
            if matches:
                yield path
                break
