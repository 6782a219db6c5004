"""Clients that move between a test's hubs, as sessions that are handed over do."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from realtime.cluster.addressing import as_emit
from realtime.cluster.envelopes import encode, pack
from realtime.cluster.router import Router
from realtime.cluster.targets import Target
from realtime.protocol import socketio
from realtime.recovery.session import Session
from realtime.recovery.sessions import Sessions
from realtime.sockets.messages import Message
from realtime.testing import Client
from tests.unit.probes import DEADLINE

from .conftest import Server, until
from .layer import Bus

# A process that serves no clients, and what it has numbered.
OUTSIDE, _ids = "-outside", itertools.count(1)


class Halting(Client):
    """A client whose network fails behind the next `at_most` events, where that is no None."""

    at_most: int | None = None

    def _receive_packet(self, packet: socketio.Packet) -> None:
        if packet.type is socketio.EVENT and self.at_most is not None:
            if not self.at_most:
                return
            self.at_most -= 1
        super()._receive_packet(packet)


async def said(client: Client) -> Any:
    """Return the argument of the next "said"."""
    event, *args = await client.receive(DEADLINE)
    assert event == "said"
    return args[0] if len(args) == 1 else tuple(args)


async def send_from_outside(
    bus: Bus, rooms: tuple[str, ...], *args: Any, without: tuple[str, ...] = ()
) -> None:
    """Send the event "said" as a process does that serves no clients."""
    target = Target("/", rooms, without)
    body = encode(as_emit(target, Message("/", "said", args), f"{OUTSIDE}.{next(_ids)}"))
    for lane in Router().lanes(target):
        await bus.connect().group_send(lane.name, pack(OUTSIDE, lane.name, 0, 0, [body]))


async def expect(to: Server, sid: str) -> None:
    """Let a hub ask for what is for a client, and wait until that is in effect everywhere."""
    to.hub.moves.expect(sid)
    await to.cluster.flush_local()
    await to.cluster.fence()


async def come(to: Server, sid: str, *rooms: str) -> Client:
    """Return a new client of a hub, whose socket has this sid."""
    to.hub.new_sid = lambda: sid  # type: ignore[method-assign]
    try:
        return await to.client(*rooms)
    finally:
        del to.hub.new_sid


def forget_session(server: Server, sid: str, forget: Callable[[Sessions, Session], None]) -> None:
    """Forget the session that a client has left behind, where clients may come back."""
    if (recovery := server.hub.recovery) is not None:
        session = recovery.sessions.of_sid(sid)
        assert session is not None
        forget(recovery.sessions, session)


async def move(client: Client, before: Server, to: Server, *rooms: str) -> Client:
    """Let a client be at another hub from now on; return what it is there."""
    sid = client.sid
    await expect(to, sid)
    await before.hub.moves.scatter()
    before.hub.moves.note(sid, to.hub.server_id)
    await client.disconnect()
    await until(lambda: sid not in before.hub.registry.sockets)
    forget_session(before, sid, Sessions.give)
    arrived = await come(to, sid, *rooms)
    to.hub.moves.adopt(sid)
    return arrived


async def leave(client: Client, server: Server) -> None:
    """Let a client be gone for good."""
    sid = client.sid
    await client.disconnect()
    await until(lambda: sid not in server.hub.registry.sockets)
    forget_session(server, sid, Sessions.end)
    server.hub.moves.forget(sid)


async def known_at(home: Server, sid: str, server: Server) -> None:
    """Wait until a client's own server knows where it is."""
    await until(lambda: home.hub.moves.where(sid) == server.hub.server_id)
