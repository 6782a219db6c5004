"""
Polling requests that reach another server than their session's: no sticky sessions are needed.

The server that a request reaches asks the one that the sid names, through the channel layer, and
gives its answer to the client. Where the session has gone from there it asks the next one. And
where all its requests come here it takes the session over (see `wanderers`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

from ..cluster.envelopes import Allowance, HttpRequest, HttpResponse
from ..cluster.requests import ANSWER_TIMEOUT
from ..cluster.sids import server_of
from ..exceptions import HandshakeError, ServerGone
from ..webservers.readers import MAX_FIRST
from .interfaces import Hub, Request
from .session import Session

# Seconds that a poll may take beyond its session's next ping.
SPARE_TIME = 5.0

# How long its session's server may be busy. One that is gone is noticed sooner.
PATIENCE = 15.0

# The request's headers that its session's server looks at. Servers of older versions look at hosts.
HEADERS = frozenset({b"host", b"x-forwarded-host", b"origin", b"content-type"})


# How often a session is looked for where it has gone.
MAX_HOPS = 8


async def find_server(hub: Hub, sid: str) -> str | None:
    """Return the other server that a session has gone to, or that its sid names, if it is there."""
    if (server := hub.moves.where(sid)) is not None:
        return server
    server = server_of(sid)
    return server if server is not None and await hub.cluster.find(server) else None


async def forward(request: Request, server: str, sid: str) -> None:
    """
    Let the session's server answer a request.

    Raises HandshakeError (unknown sid) where that server is gone.
    """
    question = await _question(request, server, sid)
    hub = request.hub

    def hear(owner: str, content: Any) -> None:
        if content is True:
            hub.wanderers.begin(owner, sid, request.scope)

    asking = hub.spawn(_ask(hub, server, question, hear))
    watching = hub.spawn(_hung_up(request))
    try:
        await asyncio.wait({asking, watching}, return_when=asyncio.FIRST_COMPLETED)
        if not asking.done():
            return
        if asking.cancelled():  # this hub is closed
            await request.send_unavailable()
            return
        content = asking.result()
    finally:
        hub.foreign_polls.pop(asking, None)
        asking.cancel()
        watching.cancel()
    if content is None:
        raise HandshakeError(HandshakeError.UNKNOWN_SID)
    status, headers, body = content
    await request.send_response(
        status, [(bytes(name), bytes(value)) for name, value in headers], body
    )


async def _ask(
    hub: Hub, server: str, question: HttpRequest, hear: Callable[[str, Any], None]
) -> Any:
    """
    Return the answer of the server that has the session, or None where that is gone.

    `hear` gets what servers say before that.
    """
    timeout = hub.settings.PING_INTERVAL + hub.settings.PING_TIMEOUT + SPARE_TIME
    task = asyncio.current_task()
    for _ in range(MAX_HOPS):
        if server == hub.server_id:  # it has come here meanwhile
            await hub.arrivals.wait_for(question.sid)
            return await _answer(hub, question)
        if task is not None and question.method == "GET":
            hub.foreign_polls[task] = server, question.sid
        try:
            content = await hub.cluster.ask(
                server, question, timeout, partial(hear, server), patience=PATIENCE
            )
        except ServerGone:
            return None
        if not isinstance(content, str):
            return content
        server = content
    return None


async def _question(request: Request, server: str, sid: str) -> HttpRequest:
    scope = request.scope
    body = await _read_body(request, server, sid) if scope["method"] == "POST" else b""
    headers = tuple(
        (name.lower(), value) for name, value in scope["headers"] if name.lower() in HEADERS
    )
    return HttpRequest(
        sid, scope["method"], scope["query_string"], headers, body, request.hub.server_id
    )


async def _read_body(request: Request, server: str, sid: str) -> bytes:
    """
    Return the body of a POST. Raises HandshakeError where there is no such session, or the client
    takes longer than a session lives that does not answer.

    More than anybody may send is taken only where the session's server lets it.
    """
    hub = request.hub

    async def find_limit() -> int:
        if (session := hub.connections.get(sid)) is not None:  # it has come here meanwhile
            return int(session.frame_limit)
        if (limit := await ask_limit(hub, server, sid, follow=True)) is None:
            raise HandshakeError(HandshakeError.UNKNOWN_SID)
        return limit

    try:
        async with asyncio.timeout(hub.settings.PING_INTERVAL + hub.settings.PING_TIMEOUT):
            return await request.body.read(min(hub.settings.MAX_PAYLOAD, MAX_FIRST), find_limit)
    except TimeoutError:
        request.body.linger = 0  # it has had its time
        raise HandshakeError(HandshakeError.UNKNOWN_SID) from None


async def _hung_up(request: Request) -> None:
    """Return when the client has gone away."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def ask_limit(hub: Hub, server: str, sid: str, *, follow: bool = False) -> int | None:
    """Return how many bytes a POST may have, as another server says; None for no such session."""
    try:
        limit = await hub.cluster.ask(server, Allowance(sid, follow), ANSWER_TIMEOUT)
    except ServerGone:
        return None
    return None if limit is None else int(limit)


async def lead(hub: Hub, question: HttpRequest) -> HttpResponse | str:
    """
    Answer a request that another server has forwarded, or name the server that has its session.

    One of an older version, which does not understand that, gets the answer of that server.
    """
    if question.sid not in hub.connections:
        elsewhere = hub.moves.where(question.sid)
        if elsewhere is not None and question.server:
            return elsewhere
        if elsewhere is not None:
            question.server = hub.server_id
            content = await _ask(hub, elsewhere, question, lambda owner, content: None)
            if content is not None:
                return HttpResponse(*content)
    return await _answer(hub, question)


async def _answer(hub: Hub, question: HttpRequest) -> HttpResponse:
    """Answer a request for a session of this server, if it is one."""
    if hub.answer_http is None:  # it is set before this server has any session
        raise RuntimeError("This server has no polling sessions.")
    return await hub.answer_http(question)


async def answer(hub: Hub, question: HttpRequest, serve: Any) -> HttpResponse:
    """
    Answer a request that another server has forwarded.

    `serve(scope, receive, send)` is what serves a request that came here. When the task is
    cancelled the client has hung up.
    """
    body = [question.body]
    hung_up = asyncio.Event()
    parts: dict[str, Any] = {"body": b""}

    async def receive() -> dict[str, Any]:
        if body:
            return {"type": "http.request", "body": body.pop()}
        await hung_up.wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        parts.update(message)

    scope = {
        "type": "http",
        "method": question.method,
        "path": hub.settings.PATH,
        "query_string": question.query_string,
        "headers": list(question.headers),
    }
    try:
        await serve(scope, receive, send)
    except asyncio.CancelledError:
        session = hub.connections.get(question.sid)
        if isinstance(session, Session) and session.polling and question.method == "GET":
            session.close("transport close")
        raise
    return HttpResponse(parts["status"], tuple(parts["headers"]), parts["body"])
