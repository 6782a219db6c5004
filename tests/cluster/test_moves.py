"""What is sent to a client while it moves between hubs, on real layers with a real Valkey."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from itertools import count
from typing import Any

import msgspec
import pytest
from channels.layers import channel_layers
from pytest_django import Settings

from realtime.cluster.addressing import as_emit
from realtime.cluster.envelopes import Inherit, Take
from realtime.cluster.layers import new_layer
from realtime.cluster.targets import Target
from realtime.hub.handing import take
from realtime.hub.hub import Hub
from realtime.outside.sender import RemoteGateway
from realtime.sockets.messages import Format, Message
from tests.clients.wire import DEADLINE
from tests.clusters import LAYERS
from tests.valkey import Valkey

BACKENDS = {
    "core": "channels_redis.core.RedisChannelLayer",
    "pubsub": "channels_redis.pubsub.RedisPubSubChannelLayer",
}

# The hubs that the client moves to, one after the other.
WAY = [1, 0, 1, 2, 0, 2, 1, 2, 1, 0]

# Messages of one sender that may be on their way: one loop serves all hubs.
WINDOW = 4


async def until(condition: Callable[[], object]) -> None:
    """Return when a condition holds."""
    async with asyncio.timeout(DEADLINE):
        while not condition():
            await asyncio.sleep(0.002)


class Holder:
    """
    Keeps what the one client has got in all its life while that is at a hub, and gives it away.

    It stands for the sessions of that hub, and for its sockets.
    """

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.got: list[str] = []
        self.senders: list[Sender] = []
        self.holds = False
        self.ids = count(1)
        hub.sessions = self
        hub.deliver = self.deliver  # type: ignore[method-assign]

    def deliver(self, target: Target, message: Message, event_id: str = "", number: int = 0) -> str:
        """Note what comes, for a client that is here or is expected; return an id for it."""
        if self.holds:
            text = str(message.frames(Format.SOCKETIO).frames[0])
            self.got.append(text)
            for sender in self.senders:
                sender.arrived(text)
        return event_id or f"{self.hub.server_id}.{next(self.ids)}"

    async def take(self, question: Take) -> bytes:
        """Give the client away, with all that it has got."""
        self.hub.moves.note(question.pid, question.server)
        self.holds = False
        return msgspec.msgpack.encode(self.got)

    def counted(self) -> list[Any]:
        """Return nobody: presence is off."""
        return []

    async def inherit(self, question: Inherit) -> bool:
        """Nobody stops here."""
        raise NotImplementedError

    async def fetch(self, sid: str, before: Holder) -> None:
        """Take the client from another hub; what both have got counts once."""
        self.got.clear()
        self.holds = True
        self.hub.moves.expect(sid)
        await self.hub.cluster.flush_local()
        await self.hub.cluster.fence()
        question = Take(sid, None, None, "/")
        body = await take(self.hub, before.hub.server_id, question)
        assert body is not None
        history = msgspec.msgpack.decode(body, type=list[str])
        known = set(history)
        self.got[:] = [*history, *(each for each in self.got if each not in known)]
        self.hub.moves.adopt(sid)


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Nothing is taken for late or dead where the machine stands still for seconds: a hub that is not
    waited for any more, or is forgotten, may have something on its way that nobody expects.
    """
    monkeypatch.setattr("realtime.cluster.fences.ANSWER_TIMEOUT", DEADLINE)
    monkeypatch.setattr("realtime.hub.handing.TIMEOUT", DEADLINE)
    monkeypatch.setattr("realtime.hub.deduplication.GRACE", 4 * DEADLINE)
    for module in ("peers", "heartbeats"):
        monkeypatch.setattr(f"realtime.cluster.{module}.EXPIRY", DEADLINE)


@pytest.fixture(params=LAYERS)
async def holders(
    request: pytest.FixtureRequest, valkey: Valkey, settings: Settings
) -> AsyncIterator[list[Holder]]:
    """Three hubs that know each other."""
    config = {"hosts": [valkey.url], "prefix": secrets.token_hex(4)}
    if request.param == "core":
        config["capacity"] = 1_000_000
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": BACKENDS[request.param], "CONFIG": config}}
    settings.REALTIME = {"PRESENCE": False, "RECOVERY": {"SECONDS": 60}}
    channel_layers.backends.clear()
    async with AsyncExitStack() as stack:
        holders = [Holder(Hub()) for _ in range(3)]
        for holder in holders:
            stack.push_async_callback(holder.hub.close, 0.5)
        await until(lambda: all(len(each.hub.cluster.reports()) == 2 for each in holders))
        yield holders
    channel_layers.backends.clear()


class Sender:
    """Sends numbers to a client until it is told to stop, from a hub or from another process."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.sent = 0
        self._unseen: set[str] = set()

    def next(self) -> Message:
        """Return the next one."""
        self.sent += 1
        self._unseen.add(self._text(self.sent))
        return Message("/", "said", (self.name, self.sent))

    @property
    def waits(self) -> bool:
        """Whether enough is on its way."""
        return len(self._unseen) >= WINDOW

    @property
    def is_done(self) -> bool:
        """Whether nothing is on its way."""
        return not self._unseen

    def arrived(self, text: str) -> None:
        """Take note that a hub has got something."""
        self._unseen.discard(text)

    def texts(self) -> list[str]:
        """Return all that was sent, as it travels."""
        return [self._text(number + 1) for number in range(self.sent)]

    def _text(self, number: int) -> str:
        return f'42["said","{self.name}",{number}]'


class FromHub(Sender):
    """Sends in a task of a hub."""

    async def run(self, hub: Hub, target: Target) -> None:
        """Send for ever."""
        while True:
            message = self.next()
            hub.deliver(target, message)
            if not hub.is_here(target):
                hub.cluster.send(target, as_emit(target, message, f"{self.name}.{self.sent}"))
            await asyncio.sleep(0.02)
            while self.waits:
                await asyncio.sleep(0.02)


class FromOutside(Sender):
    """Sends from a thread, as a process without clients does."""

    def __init__(self, name: str, target: Target) -> None:
        super().__init__(name)
        self._target = target
        self._stopping = threading.Event()
        self._gateway = RemoteGateway(lambda: new_layer("default"))
        self._thread = threading.Thread(target=self._run)

    def start(self) -> None:
        """Send from now on."""
        self._thread.start()

    def _run(self) -> None:
        while not self._stopping.wait(0.02):
            if not self.waits:
                self._gateway.emit(self._target, self.next())

    async def stop(self) -> None:
        """Send no more."""
        self._stopping.set()
        await asyncio.to_thread(self._thread.join, DEADLINE)
        self._gateway.close()


@pytest.mark.parametrize("client", [False, True], ids=["room", "client"])
async def test_nothing_is_lost_or_doubled(holders: list[Holder], client: bool) -> None:
    sid = holders[0].hub.new_sid()
    target = Target("" if client else "/", (sid,), client=client)
    senders = [FromHub(f"hub {number}") for number in range(3)]
    outside = FromOutside("outside", target)
    sent = [*senders, outside]
    for holder in holders:
        holder.senders = sent
    tasks = [
        asyncio.create_task(sender.run(holder.hub, target))
        for sender, holder in zip(senders, holders, strict=True)
    ]
    outside.start()
    before = holders[0]
    before.holds = True
    try:
        for number in WAY:
            count = len(before.got)
            await until(lambda: len(before.got) > count + 5)  # noqa: B023
            await holders[number].fetch(sid, before)
            before = holders[number]
    finally:
        for task in tasks:
            task.cancel()
        await outside.stop()
    with contextlib.suppress(TimeoutError):  # what is lost is named below
        await until(lambda: all(sender.is_done for sender in sent))
    for sender in sent:
        got = [each for each in before.got if f'"{sender.name}"' in each]
        counts = Counter(got)
        assert {each for each in sender.texts() if not counts[each]} == set(), "lost"
        assert {each for each in got if counts[each] > 1} == set(), "doubled"
        if sender is not outside:
            assert got == sender.texts(), "reordered"
