"""Who serves a request: Realtime, the site's own Channels routes, or Django."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

import pytest
from channels.routing import URLRouter
from channels.sessions import SessionMiddlewareStack
from django.urls import path

from realtime import NamespaceConsumer
from realtime.asgi import Realtime, get_application
from realtime.hub.hub import Hub

from .conftest import Serve

Message = dict[str, Any]
Scope = dict[str, Any]


class Site:
    """A site's own application: it notes the scopes that it is given."""

    def __init__(self) -> None:
        self.scopes: list[Scope] = []

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        self.scopes.append(scope)


async def ask(app: Any, scope: Scope, *messages: Message) -> list[Message]:
    """Call an application with a scope and what its server says; return what it sends."""
    waiting, sent = deque(messages), []

    async def receive() -> Message:
        if not waiting:
            await asyncio.Event().wait()
        return waiting.popleft()

    async def send(message: Message) -> None:
        sent.append(message)

    async with asyncio.timeout(20):
        await app(scope, receive, send)
    return sent


class Main(NamespaceConsumer):
    """A consumer that lets everybody in."""


def request(path: str, query: str = "", **more: Any) -> Scope:
    return {
        "type": "http",
        "method": "GET",
        "path": path,
        "query_string": query.encode(),
        "headers": [(b"host", b"testserver")],
        **more,
    }


def websocket(path: str, query: str = "", **more: Any) -> Scope:
    return request(path, query, type="websocket", **more)


CONNECT = {"type": "websocket.connect"}
GONE = {"type": "websocket.disconnect", "code": 1001}
CLOSE = {"type": "websocket.close"}
HANDSHAKE = "EIO=4&transport=polling"


@pytest.mark.parametrize(
    "path", ["/", "/clients-count", "/socket.iox/", "/socket.io/more", "/x/socket.io/", "/ws/lab/"]
)
async def test_other_requests_are_the_sites(path: str) -> None:
    site, channels = Site(), Site()
    scope = request(path)
    assert await ask(Realtime(site, channels), scope) == []
    assert site.scopes == [scope]
    assert site.scopes[0] is scope, "untouched"
    assert channels.scopes == []


@pytest.mark.parametrize("path", ["/", "/chat/", "/wss/", "/socket.iox/"])
async def test_other_websockets_are_the_sites(path: str) -> None:
    site, channels = Site(), Site()
    scope = websocket(path)
    assert await ask(Realtime(site, channels), scope) == []
    assert channels.scopes == [scope]
    assert site.scopes == []


ROUTES = [path("ws/chat/", Site()), path("ws/lab/<str:room>/", Site()), path("ws/", Site())]


def routed(*around: Any) -> tuple[Site, Any]:
    """Return a site that serves some routes below PLAIN_PATH, and what leads there."""
    site = Site()
    application: Any = URLRouter([path(route.pattern._route, site) for route in ROUTES])
    for middleware in around:
        application = middleware(application)
    return site, application


@pytest.mark.parametrize("around", [(), (SessionMiddlewareStack,)], ids=["bare", "middleware"])
@pytest.mark.parametrize("route", ["/ws/chat/", "/ws/lab/a/", "/ws/"])
async def test_what_the_sites_routes_know_is_the_sites(route: str, around: Any) -> None:
    site, application = routed(*around)
    assert await ask(Realtime(Site(), application), websocket(route)) == []
    assert [scope["path"] for scope in site.scopes] == [route]


@pytest.mark.parametrize("route", ["/ws/lab/", "/ws/orders/7/"])
async def test_what_they_do_not_know_is_a_plain_websocket(route: str, serve: Serve) -> None:
    serve(routes=[path("lab/", Main.as_asgi()), path("orders/<int:pk>/", Main.as_asgi())])
    site, application = routed()
    sent = await ask(Realtime(Site(), application), websocket(route), CONNECT, GONE)
    assert sent[0] == {"type": "websocket.accept"}
    assert site.scopes == []


async def test_an_application_without_routes_gets_what_is_no_namespace(serve: Serve) -> None:
    serve(routes=[path("lab/", Main.as_asgi())])
    site = Site()
    app = Realtime(Site(), site)
    assert await ask(app, websocket("/ws/chat/")) == []
    assert len(site.scopes) == 1
    sent = await ask(app, websocket("/ws/lab/"), CONNECT, GONE)
    assert sent[0] == {"type": "websocket.accept"}
    assert len(site.scopes) == 1


async def test_a_path_that_both_claim_is_logged_once(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    serve(routes=[path("chat/", Main.as_asgi())])
    _, application = routed()
    app = Realtime(Site(), application)
    for route in ("/ws/chat/", "/ws/chat/", "/ws/lab/a/"):
        await ask(app, websocket(route))
    lines = [record for record in caplog.messages if record.startswith("path-claimed-twice")]
    assert len(lines) == 1
    assert "path=/ws/chat/ namespace=/chat" in lines[0]


@pytest.mark.parametrize("websockets", [True, False])
async def test_no_plain_websockets(serve: Serve, websockets: bool) -> None:
    serve(Main, PLAIN_PATH=None)
    site = Site()
    app = Realtime(Site(), site if websockets else None)
    sent = await ask(app, websocket("/ws/"), CONNECT)
    assert sent == ([] if websockets else [CLOSE])
    assert len(site.scopes) == websockets


async def test_other_websockets_are_refused_where_the_site_has_none() -> None:
    assert await ask(Realtime(Site()), websocket("/chat/"), CONNECT) == [CLOSE]


@pytest.mark.parametrize("path", ["/socket.io/", "/socket.io"])
async def test_polling_is_ours(path: str) -> None:
    site = Site()
    start, body = await ask(Realtime(site), request(path, HANDSHAKE))
    assert start["status"] == 200
    assert body["body"].startswith(b'0{"sid":')
    assert site.scopes == []


async def test_paths_of_the_settings(serve: Serve) -> None:
    serve(PATH="/io/", PLAIN_PATH="/plain/")
    site = Site()
    start, _ = await ask(Realtime(site), request("/io/", HANDSHAKE))
    assert start["status"] == 200
    await ask(Realtime(site), request("/socket.io/", HANDSHAKE))
    assert len(site.scopes) == 1


async def test_a_site_below_a_path(serve: Serve) -> None:
    site = Site()
    scope = request("/below/socket.io/", HANDSHAKE, root_path="/below")
    start, _ = await ask(Realtime(site), scope)
    assert start["status"] == 200
    assert site.scopes == []


async def test_a_scope_of_another_type() -> None:
    with pytest.raises(ValueError, match="'mqtt'"):
        await ask(Realtime(Site()), {"type": "mqtt", "path": "/"})


async def test_after_the_shutdown_has_begun(hub: Hub) -> None:
    site = Site()
    app = Realtime(site, site)
    await hub.close(grace=0.1)
    start, _ = await ask(app, request("/socket.io/", HANDSHAKE))
    assert start["status"] == 503
    assert (b"retry-after", b"1") in start["headers"]
    for each in ("/socket.io/", "/ws/", "/chat/"):
        assert await ask(app, websocket(each), CONNECT) == [CLOSE]
    await ask(app, request("/"))
    assert [scope["path"] for scope in site.scopes] == ["/"], "Django's own requests are served"


async def test_lifespan(hub: Hub) -> None:
    sent = await ask(
        get_application(),
        {"type": "lifespan"},
        {"type": "lifespan.startup"},
        {"type": "lifespan.shutdown"},
    )
    assert [message["type"] for message in sent] == [
        "lifespan.startup.complete",
        "lifespan.shutdown.complete",
    ]
    assert hub.closing


async def test_djangos_own_application_is_the_default() -> None:
    start, body = await ask(
        get_application(), request("/nowhere"), {"type": "http.request", "body": b""}
    )
    assert start["status"] == 404
    assert b"html" in body["body"]
