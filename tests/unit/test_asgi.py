"""Who serves a request: Realtime, the site's own Channels routes, or Django."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

import pytest

from realtime.asgi import Realtime, get_application
from realtime.hub import Hub

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

    async with asyncio.timeout(5):
        await app(scope, receive, send)
    return sent


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
    for path in ("/socket.io/", "/ws/", "/chat/"):
        assert await ask(app, websocket(path), CONNECT) == [CLOSE]
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
