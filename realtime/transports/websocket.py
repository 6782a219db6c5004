"""
Engine.IO over WebSocket: sessions that start on it, and sessions that move to it from polling.

Specification: https://github.com/socketio/engine.io-protocol (sections "WebSocket", "Upgrade").
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from ..exceptions import HandshakeError, ServerDraining, TooLarge
from ..identity.logins import user_key
from ..logs import log
from ..protocol import engineio
from ..protocol.frames import Frames
from ..protocol.jsontext import dumps
from ..utils.subprotocols import select_subprotocol
from ..webservers.adapters import Receive
from ..webservers.detect import complete_scheme, open_reader, prepare_refusal
from ..webservers.readers import Reader
from ..webservers.writers import POLICY_VIOLATION, Send
from .claims import Complete
from .interfaces import Hub
from .relay import find_server
from .requests import check_origin, parse_query, retry_after
from .session import Session
from .takeover import PROBE, PROBE_ANSWER, Takeover


async def accept(hub: Hub, scope: dict[str, Any], receive: Receive, send: Send) -> Reader | None:
    """Accept a WebSocket; return its reader, or None where the client is gone already."""
    if (await receive())["type"] != "websocket.connect":
        return None
    answer = {"type": "websocket.accept"}
    if scope.get("subprotocols") and (spoken := select_subprotocol(scope)) is not None:
        answer["subprotocol"] = spoken
    await send(answer)
    return open_reader(hub, receive, send)


async def reject(
    scope: dict[str, Any], receive: Receive, send: Send, error: HandshakeError
) -> None:
    """Refuse a WebSocket handshake, with the error as the response where the server can."""
    await receive()
    if "websocket.http.response" not in scope.get("extensions", {}):
        prepare_refusal(send, error)
        await send({"type": "websocket.close"})
        return
    body = dumps({"code": error.code, "message": error.message}).encode()
    headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
    if error.retry_after is not None:
        headers.append(retry_after(error.retry_after))
    await send(
        {"type": "websocket.http.response.start", "status": error.status, "headers": headers}
    )
    await send({"type": "websocket.http.response.body", "body": body})


async def serve(
    hub: Hub, scope: dict[str, Any], receive: Receive, send: Send, complete: Complete
) -> Reader | None:
    """
    Serve a WebSocket at the Engine.IO path; `complete` adds session and user to a scope.

    Returns what reads from it; None where it is over already. A client that cannot be served now is
    refused before its WebSocket is open: the official ones try again at once where the handshake
    fails, and after a WebSocket that closes before its session they wait for their timeout.
    """
    complete_scheme(scope, send)
    try:
        check_origin(scope, hub.settings)
        query = parse_query(scope, hub.settings)
        if query.transport != "websocket":
            raise HandshakeError(HandshakeError.BAD_REQUEST)
        if query.sid:
            async with hub.wanderers.approach(query.sid):
                return await _continue(hub, query.sid, scope, receive, send, complete=complete)
        scope = await admit(hub, scope, complete)
    except HandshakeError as error:
        await reject(scope, receive, send, error)
        return None
    reader = await accept(hub, scope, receive, send)
    if reader is None:
        return None
    try:
        session = Session(hub, scope, reader.writer)
    except HandshakeError as error:
        await reader.reject(error.close_code, error.message)
        return None
    session.attempt(session.open)
    reader.start(session)
    return reader


async def _continue(
    hub: Hub,
    sid: str,
    scope: dict[str, Any],
    receive: Receive,
    send: Send,
    *,
    complete: Complete,
) -> Reader | None:
    """
    Lead a client from polling to its WebSocket; return what reads from that, or None where it stays
    on polling. Raises HandshakeError for an unknown session, before the WebSocket is open.
    """
    owner = await _find_owner(hub, sid)
    old = _session(hub, sid) if owner is None else None
    reader = await accept(hub, scope, receive, send)
    if reader is None:
        return None
    if owner is not None:
        takeover = Takeover(hub, owner, sid, reader)
        moved = await takeover.run(scope, complete) is not None
    else:
        moved = old is not None and _can_move(old) and await _upgrade(old, reader)
    if not moved:
        await reader.reject(POLICY_VIOLATION, "")
        return None
    if old is not None:
        reader.start(old)
        _compare_users(old, scope)
    return reader


def _compare_users(session: Session, scope: dict[str, Any]) -> None:
    """
    Log that a client's WebSocket belongs to a user who its polling did not belong to.

    A session keeps the user of its first request. Where middleware finds users on WebSockets alone,
    clients that start with polling, as the official ones do, stay anonymous.
    """
    user = scope.get("user")
    known = session.scope.get("user")
    if not getattr(user, "is_authenticated", False) or str(user_key(user)) == str(user_key(known)):
        return
    log(
        logging.WARNING,
        "user-ignored",
        connection=session.sid[:12],
        user=user_key(user) or "-",
        message="the WebSocket has another user than the polling that the client started "
        "with, whose user counts: put middleware around both http and websocket",
    )


async def admit(hub: Hub, scope: dict[str, Any], complete: Complete) -> dict[str, Any]:
    """Return the scope of a new client, completed. Raises ServerDraining where none are taken."""
    if not hub.draining:
        scope = await complete(hub, scope)
    if hub.draining:  # which may have begun meanwhile
        raise ServerDraining
    return scope


async def _find_owner(hub: Hub, sid: str) -> str | None:
    """Return the other server that has the session of a WebSocket, or None where that is here."""
    if not sid or sid in hub.connections or hub.draining:
        return None
    return await find_server(hub, sid)


def _session(hub: Hub, sid: str) -> Session:
    """
    Return the session that a WebSocket asks for, which may have one already.

    Raises ServerDraining where it is not here, and the hub takes no clients any more.
    """
    session = hub.connections.get(sid)
    if session is None and hub.draining:
        raise ServerDraining
    if not isinstance(session, Session):
        raise HandshakeError(HandshakeError.UNKNOWN_SID)
    session.prove()
    return session


def _can_move(session: Session) -> bool:
    """Tell whether a session may move to a WebSocket: once, and to one at a time."""
    return session.polling is not None and not session.upgrading


async def _upgrade(session: Session, reader: Reader) -> bool:
    """
    Lead the probe, and move the session. If anything else happens it stays on polling.

    While the client moves, polls are answered at once, so that it can leave polling.
    """
    moved = False
    try:
        async with asyncio.timeout(session.hub.settings.UPGRADE_TIMEOUT):
            if await reader.receive() != PROBE or not _can_move(session):
                return False
            session.set_upgrading(True)
            try:
                reader.writer.write(Frames(PROBE_ANSWER))
                upgraded = await reader.receive() == engineio.PacketType.UPGRADE
                if upgraded and not session.closed.happened:
                    moved = True
                    session.attempt(session.move, reader.writer)
            finally:
                if not moved:
                    session.set_upgrading(False)
    except (TimeoutError, TooLarge):
        pass
    return moved
