"""Who serves a request: Realtime, the site's own Channels routes, or Django."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from functools import cached_property, partial
from typing import Any, cast

from channels.routing import URLRouter
from django.core.asgi import get_asgi_application

from .cluster.envelopes import HttpRequest, HttpResponse
from .conf import get_settings
from .exceptions import HandshakeError, ServerDraining
from .execution.calls import as_error
from .hub.hub import Hub
from .hub.lifespan import start_with_daphne
from .identity.authentication import asks_sessions_alone, find_authenticators
from .identity.logins import find_anonymity, session_store
from .identity.scopes import follow_sessions, identify
from .logs import log
from .mounting.applications import find_routers, has_route
from .mounting.paths import path_info
from .mounting.staticfiles import serve_static_files
from .outside.process import ensure_hub
from .routing import check_routes, has_namespace
from .transports import http, plain, relay, websocket
from .transports.access_logs import hide_session_ids
from .transports.polling import PollingWriter
from .transports.session import Session
from .utils.installed import require_installed
from .webservers import listeners
from .webservers.readers import Reader

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

# Namespaces of which it is logged that the site has a route at the same path.
MAX_NOTED = 100


def get_application(
    http: Application | None = None, websocket: Application | None = None
) -> Application:
    """
    Return the ASGI application of a site with Realtime in front.

    `http` serves all other HTTP requests; by default that is Django's application, with the static
    files while ``DEBUG`` is on. `websocket` serves all other WebSockets, such as a site's own
    Channels routes. Without it they are refused.

    Raises ImproperlyConfigured, ImportError or a RealtimeError for a site that cannot be served.
    """
    django = cast(Application, get_asgi_application())
    _check_site()
    return Realtime(http or serve_static_files(django), websocket)


def _check_site() -> None:
    """Find what is wrong before a client does: servers start without Django's system checks."""
    require_installed()
    check_routes()
    session_store()
    find_authenticators()
    if asks_sessions_alone() and (anonymity := find_anonymity()) is not None:
        log(logging.WARNING, "all-anonymous", reason=anonymity.reason)


class Realtime:
    """
    Serves the paths of ``REALTIME``, and leads everything else on.

    A site with a ProtocolTypeRouter of its own can mount one instance as "http" and "websocket".
    """

    def __init__(self, http: Application, websocket: Application | None = None) -> None:
        self._http = http
        self._websocket = websocket
        self._claimed_twice: set[str] = set()
        self._is_watched = False
        hide_session_ids()
        start_with_daphne(_ensure_hub)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind == "lifespan":
            await _serve_lifespan(receive, send)
            return
        if not self._is_watched:
            self._watch_listeners(scope)
        if kind == "http":
            await self._serve_http(scope, receive, send)
        elif kind == "websocket":
            reader = await self._serve_websocket(scope, receive, send)
            if reader is None:
                return
            # What an open WebSocket keeps of all this is one frame, without the server's objects.
            del scope, receive, send
            try:
                await reader.over()
            finally:
                reader.end()
            await reader.writer.closed()
        else:
            raise ValueError(f"Realtime serves no scope of type {kind!r}")

    def _watch_listeners(self, scope: Scope) -> None:
        """Watch the listening socket of the first request from now on, if it is one of TCP."""
        self._is_watched = True
        if (server := scope.get("server")) and server[1]:
            _ensure_hub().services.spawn(listeners.watch(server[1]))

    async def _serve_http(self, scope: Scope, receive: Receive, send: Send) -> None:
        hub = _ensure_hub()
        if not _is_engine_path(path_info(scope)):
            await self._http(scope, receive, follow_sessions(hub, scope, send))
            return

        async def start(scope: Scope) -> Session:
            session = Session(hub, await identify(hub, scope), PollingWriter())
            hub.spawn(session.read(session.require_inbox().receive))
            return session

        await as_error(http.Request(hub, scope, receive, send).serve(start))

    def _serve_websocket(
        self, scope: Scope, receive: Receive, send: Send
    ) -> Awaitable[Reader | None]:
        """
        Return what serves a WebSocket, and gives what reads from one that is open then.

        No coroutine of its own: on a site's own WebSockets that would last as long as they do.
        """
        hub, path = _ensure_hub(), path_info(scope)
        if _is_engine_path(path):
            return as_error(websocket.serve(hub, scope, receive, send, identify))
        if (namespace := plain.find_namespace(path)) is not None and not self._is_the_sites(
            scope, namespace
        ):
            return as_error(plain.serve(hub, namespace, scope, receive, send, complete=identify))
        if self._websocket is not None:
            if hub.draining:  # nobody would tell its client to go
                return websocket.reject(scope, receive, send, ServerDraining())
            return self._websocket(scope, receive, send)
        return refuse_websocket(receive, send)

    @cached_property
    def routers(self) -> list[URLRouter]:
        """The site's own routers of WebSockets."""
        return [] if self._websocket is None else find_routers(self._websocket)

    def _is_the_sites(self, scope: Scope, namespace: str) -> bool:
        """
        Tell whether a WebSocket below PLAIN_PATH is one of the site's own.

        What the site's routes know is the site's. An application without any that can be seen gets
        what is no namespace.
        """
        if self._websocket is None:
            return False
        if self.routers and not has_route(self.routers, scope):
            return False
        if not has_namespace(namespace):
            return True
        self._note_claimed_twice(scope["path"], namespace)
        return bool(self.routers)

    def _note_claimed_twice(self, path: str, namespace: str) -> None:
        """Log once for each namespace that the site's own application may mean it, too."""
        if namespace not in self._claimed_twice and len(self._claimed_twice) < MAX_NOTED:
            self._claimed_twice.add(namespace)
            log(
                logging.WARNING,
                "path-claimed-twice",
                path=path,
                namespace=namespace,
                served_by="the site's own route" if self.routers else "realtime",
            )


def _ensure_hub() -> Hub:
    """Return the running loop's hub, which serves: it answers what other servers forward, too."""
    hub = ensure_hub()
    if hub.answer_http is None:
        hub.answer_http = partial(_answer_forwarded, hub)
        hub.serving.start()
    return hub


async def _answer_forwarded(hub: Hub, question: HttpRequest) -> HttpResponse:
    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        await http.Request(hub, scope, receive, send, forwarded=True).serve(_no_handshake)

    return await relay.answer(hub, question, serve)


async def _no_handshake(scope: Scope) -> Session:
    raise HandshakeError(HandshakeError.BAD_REQUEST)


async def refuse_websocket(receive: Receive, send: Send) -> None:
    """Refuse a WebSocket that nobody serves."""
    await receive()
    await send({"type": "websocket.close"})


def _is_engine_path(path: str) -> bool:
    """Tell whether a path is the Engine.IO path; clients may leave out its last slash."""
    engine_path = get_settings().PATH
    return path in (engine_path, engine_path[:-1])


async def _serve_lifespan(receive: Receive, send: Send) -> None:
    """Start the hub with the server, and close it with the server."""
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            await _ensure_hub().serving.started()
            await send({"type": "lifespan.startup.complete"})
        else:
            await ensure_hub().close()
            await send({"type": "lifespan.shutdown.complete"})
            return
