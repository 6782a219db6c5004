"""What stands in an ASGI application, and which of its routes a path belongs to."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, wraps
from typing import Any

import pytest
from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from django.urls import path, re_path

from realtime.mounting.applications import find, find_routers, has_route


async def consumer(scope: Any, receive: Any, send: Any) -> None:
    """A site's own consumer."""


def router(*routes: str) -> URLRouter:
    return URLRouter([path(route, consumer) for route in routes])


class Middleware:
    """Middleware that keeps what is inside under a name of its own."""

    def __init__(self, next_in_line: Any) -> None:
        self.next_in_line = next_in_line

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.next_in_line(scope, receive, send)


class Slotted:
    """Middleware without a `__dict__`."""

    __slots__ = ("app",)

    def __init__(self, app: Any) -> None:
        self.app = app

    def __call__(self, scope: Any, receive: Any, send: Any) -> Any:
        return self.app(scope, receive, send)


def closure(inner: Any) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await inner(scope, receive, send)

    return app


def plain_function(inner: Any) -> Any:
    def app(scope: Any, receive: Any, send: Any) -> Any:
        return inner(scope, receive, send)

    return app


def wrapping(inner: Any) -> Any:
    @wraps(consumer)
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await inner(scope, receive, send)

    return app


def argument(inner: Any) -> Any:
    async def app(app: Any, scope: Any, receive: Any, send: Any) -> None:
        await app(scope, receive, send)

    return partial(app, inner)


def bound(inner: Any) -> Any:
    return Middleware(inner).__call__


def typed(inner: Any) -> Any:
    return ProtocolTypeRouter({"websocket": inner})


AROUND: list[Callable[[Any], Any]] = [
    *(Middleware, Slotted, AuthMiddlewareStack, AllowedHostsOriginValidator),
    *(closure, plain_function, wrapping, argument, bound, typed),
]

_global = router("chat/")


async def by_global(scope: Any, receive: Any, send: Any) -> None:
    await _global(scope, receive, send)


@pytest.mark.parametrize("around", AROUND, ids=lambda each: each.__name__)
def test_routers_are_found_in_middleware(around: Callable[[Any], Any]) -> None:
    own = router("chat/")
    assert find_routers(own) == [own]
    assert find_routers(around(own)) == [own]
    for another in AROUND:
        assert find_routers(around(another(own))) == [own]


def test_a_router_that_a_function_takes_from_its_module() -> None:
    assert find_routers(by_global) == [_global]
    assert find_routers(Middleware(by_global)) == [_global]


def test_what_has_no_routers() -> None:
    for application in (consumer, Middleware(consumer), closure(consumer), object(), None):
        assert find_routers(application) == []


def test_only_routers_of_websockets() -> None:
    http, websocket = router("a/"), router("b/")
    application = ProtocolTypeRouter({"http": http, "websocket": closure(websocket)})
    assert find_routers(application) == [websocket]


def test_the_outermost_ones_are_found_and_what_is_around_them() -> None:
    inner = router("deep/")
    outer = URLRouter([path("chat/", closure(inner))])
    middleware = Middleware(outer)
    assert find_routers(middleware) == [outer]
    assert [found.around for found in find(middleware, URLRouter)] == [(middleware,)]


def test_applications_in_a_circle_end() -> None:
    first = Middleware(None)
    first.next_in_line = Middleware(first)
    assert find_routers(first) == []


class Leading(Middleware):
    """Middleware that says, as Channels wants it, that there are routes inside."""

    _path_routing = True


NESTED = URLRouter(
    [
        path("ws/chat/<str:room>/", consumer),
        path("ws/shop/", Leading(router("orders/<int:pk>/", "stock/"))),
        path("ws/deep/", router("a/")),
        re_path(r"^feed/(?P<name>\w+)$", consumer),
    ]
)


@pytest.mark.parametrize(
    ("asked", "known"),
    [
        ("/ws/chat/a/", True),
        ("/ws/chat/a", False),
        ("/ws/chat/", False),
        ("/ws/chat/a/b/", False),
        ("/ws/shop/orders/7/", True),
        ("/ws/shop/orders/x/", False),
        ("/ws/shop/stock/", True),
        ("/ws/shop/", False),
        ("/ws/deep/a/", True),
        ("/ws/deep/b/", False),
        ("/feed/news", True),
        ("/feed/news/", False),
        ("/", False),
    ],
)
async def test_routes_are_those_that_the_router_serves(asked: str, known: bool) -> None:
    scope = {"type": "websocket", "path": asked}
    assert has_route([NESTED], scope) is known
    assert has_route([router("elsewhere/"), NESTED], scope) is known
    below = {"type": "websocket", "path": "/app" + asked, "root_path": "/app"}
    assert has_route([NESTED], below) is known
    try:
        await NESTED(scope, None, None)
        served = True
    except ValueError:
        served = False
    assert served is known


def test_a_path_outside_of_the_root() -> None:
    assert not has_route([NESTED], {"path": "/feed/news", "root_path": "/app"})


def test_what_an_outer_router_has_left_of_the_path() -> None:
    assert has_route([NESTED], {"path": "/x/feed/news", "path_remaining": "feed/news"})
    assert not has_route([NESTED], {"path": "/feed/news", "path_remaining": "news"})
