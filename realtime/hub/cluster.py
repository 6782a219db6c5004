"""
The hub's link to the channel layer: one channel for the process, one group for each room.

While a publish to a group is in flight, further messages to it are gathered into the next one.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from functools import partial
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import msgspec

from ..logs import log

if TYPE_CHECKING:
    from .hub import Hub

# The one `type` of our layer messages: never a method of anybody's consumer.
LAYER_MESSAGE = "realtime.envelope"
VERSION = 1

# How long a socket's start waits for its groups, and the longest pause between attempts.
SUBSCRIBE_TIMEOUT = 5.0
MAX_BACKOFF = 5.0

# Bytes that may wait for the layer in this process, after which messages are refused and counted.
BACKLOG_BYTES = 64 * 1024 * 1024


class Envelope(msgspec.Struct, array_like=True):
    """An emit on its way to the other hubs. `text` and `attachments` are its Socket.IO packet."""

    namespace: str
    rooms: tuple[str, ...]
    excluded: tuple[str, ...]
    volatile: bool
    text: str
    attachments: tuple[bytes, ...]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Envelope)


def group_name(namespace: str, room: str | None = None) -> str:
    """
    Return the layer's group for a room, or for the whole namespace where `room` is None.

    Rooms are any text, groups are short ASCII, so the name is a digest.
    """
    key = msgspec.msgpack.encode((namespace, room))
    return "rt." + blake2b(key, digest_size=20).hexdigest()


class Cluster:
    """Keeps this process in its groups, publishes to groups, and hands over what arrives."""

    def __init__(self, hub: Hub, layer: Any, receive: Callable[[Envelope], None]) -> None:
        self._hub = hub
        self._layer = layer
        self._receive = receive
        self._channel = ""
        self._wanted: set[str] = set()
        self._joined: set[str] = set()
        # Groups whose membership is to change, each with the number of its first open change.
        self._changed: dict[str, int] = {}
        self._sequence = 0
        self._waiters: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._outbox: dict[str, list[bytes]] = {}
        self._backlog = 0
        self._wake = asyncio.Event()
        self._tasks = [hub.spawn(self._run())]

    # Membership

    def subscribe(self, namespace: str, room: str | None) -> None:
        """Ask for a room's messages from now on; `settled` tells when that is in effect."""
        group = group_name(namespace, room)
        self._wanted.add(group)
        self._change(group)

    def unsubscribe(self, namespace: str, room: str | None) -> None:
        """Ask for a room's messages no more."""
        group = group_name(namespace, room)
        self._wanted.discard(group)
        self._change(group)

    def _change(self, group: str) -> None:
        self._sequence += 1
        self._changed.setdefault(group, self._sequence)
        self._wake.set()

    async def settled(self) -> None:
        """
        Wait until the memberships asked for so far are in effect.

        A layer that is down delays a client by SUBSCRIBE_TIMEOUT, and then no longer.
        """
        if not self._changed:
            return
        waiter = self._hub.loop.create_future()
        self._waiters.append((self._sequence, waiter))
        try:
            async with asyncio.timeout(SUBSCRIBE_TIMEOUT):
                await waiter
        except TimeoutError:
            log(logging.WARNING, "layer-slow", waiting=len(self._changed))

    async def _run(self) -> None:
        """Open this process's channel, then carry out changes of membership in order."""
        self._channel = await self._persist(lambda: self._layer.new_channel("realtime."))
        self._tasks.append(self._hub.spawn(self._listen()))
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._changed:
                await self._apply(next(iter(self._changed)))
                self._release()

    async def _apply(self, group: str) -> None:
        """Bring one group's membership to what is wanted, unless that changes meanwhile."""
        wanted = group in self._wanted
        if wanted != (group in self._joined):
            change = self._layer.group_add if wanted else self._layer.group_discard
            await self._persist(lambda: change(group, self._channel))
            (self._joined.add if wanted else self._joined.discard)(group)
        if wanted == (group in self._wanted):
            del self._changed[group]

    def _release(self) -> None:
        """Wake whoever waits only for changes that are done."""
        oldest = next(iter(self._changed.values()), self._sequence + 1)
        while self._waiters and self._waiters[0][0] < oldest:
            _, waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)

    async def _persist(self, call: Callable[[], Any]) -> Any:
        """Return what the layer answers, trying again with growing pauses while it fails."""
        pause = 0.1
        while True:
            try:
                return await call()
            except Exception as error:
                log(logging.ERROR, "layer-error", error=repr(error), retry_in=pause)
            await asyncio.sleep(pause)
            pause = min(pause * 2, MAX_BACKOFF)

    # Publishing

    def publish(self, namespace: str, room: str | None, envelope: Envelope) -> None:
        """Send an envelope to the other hubs in a room, in order, without waiting."""
        group = group_name(namespace, room)
        body = _encoder.encode(envelope)
        if self._backlog + len(body) > BACKLOG_BYTES:
            log(logging.ERROR, "layer-backlog-full", namespace=envelope.namespace, lost=1)
            return
        self._backlog += len(body)
        waiting = self._outbox.get(group)
        if waiting is not None:
            waiting.append(body)
            return
        self._outbox[group] = [body]
        self._hub.spawn(self._flush(group))

    async def _flush(self, group: str) -> None:
        """Publish what waits for a group, and what comes meanwhile, until nothing waits."""
        while bodies := self._outbox[group]:
            self._outbox[group] = []
            message = {
                "type": LAYER_MESSAGE,
                "version": VERSION,
                "server": self._hub.server_id,
                "bodies": bodies,
            }
            await self._persist(partial(self._layer.group_send, group, message))
            self._backlog -= sum(map(len, bodies))
        del self._outbox[group]

    async def drain(self) -> None:
        """Wait until little waits for the layer."""
        while self._backlog > BACKLOG_BYTES // 4:
            await asyncio.sleep(0.01)

    # Receiving

    async def _listen(self) -> None:
        while True:
            message = await self._persist(lambda: self._layer.receive(self._channel))
            self._handle(message)

    def _handle(self, message: dict[str, Any]) -> None:
        """Deliver a message of another hub; what is not understood is logged and ignored."""
        if message.get("type") != LAYER_MESSAGE or message.get("version") != VERSION:
            log(logging.WARNING, "layer-ignored", type=message.get("type"))
            return
        if message["server"] == self._hub.server_id:
            return
        for body in message["bodies"]:
            try:
                self._receive(_decoder.decode(body))
            except (msgspec.DecodeError, msgspec.ValidationError) as error:
                log(logging.WARNING, "layer-ignored", error=repr(error))

    async def close(self) -> None:
        """Leave all groups, as far as the layer answers at once."""
        for task in self._tasks:
            task.cancel()
        try:
            async with asyncio.timeout(1):
                for group in list(self._joined):
                    await self._layer.group_discard(group, self._channel)
        except Exception as error:
            log(logging.WARNING, "layer-error", error=repr(error))
