"""A channel layer in memory that serialises as Redis does, and fails where a test wants it to."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter, deque
from collections.abc import Callable
from typing import Any

import msgspec
from channels.exceptions import ChannelFull


class Bus:
    """
    What stands between the processes: their queues and groups.

    `copies(channel, message)` says how often a message arrives: 0 loses it. A queue of `capacity`
    takes no more: `send` then raises ChannelFull, `group_send` says nothing.
    """

    def __init__(self) -> None:
        self.groups: dict[str, set[str]] = {}
        self.queues: dict[str, deque[bytes]] = {}
        self.capacity = 100_000
        self.group_expiry: float = 86_400
        self.copies: Callable[[str, dict[str, Any]], int] = lambda channel, message: 1
        self.layers: list[Layer] = []

    def connect(self) -> Layer:
        """Return the layer of a new process."""
        self.layers.append(Layer(self, len(self.layers)))
        return self.layers[-1]

    def forget(self) -> None:
        """Forget all groups, as a server does that is started again."""
        self.groups.clear()

    def put(self, channel: str, message: dict[str, Any]) -> bool:
        """Put a message into a queue; tell whether there was room."""
        queue = self.queues.setdefault(channel, deque())
        for _ in range(self.copies(channel, message)):
            if len(queue) >= self.capacity:
                return False
            queue.append(msgspec.msgpack.encode(message))
        for layer in self.layers:
            layer.wake()
        return True


class Layer:
    """
    One process's view of a bus: the public API of Channels' layers.

    `calls` counts what was asked for.
    """

    def __init__(self, bus: Bus, number: int) -> None:
        self._bus = bus
        self._number = number
        self.group_expiry = bus.group_expiry
        self._names = itertools.count()
        self._changed = asyncio.Event()
        self.error: Exception | None = None
        self._hanging: set[str] = set()
        self._name: str | None = None
        self._swallows = False
        self._unanswered: set[str] = set()
        self.calls: Counter[str] = Counter()
        # How many calls wait for `resume`.
        self.held = 0

    # Faults

    def fail(self, error: Exception | None = None) -> None:
        """Let every call fail."""
        self.error = error or ConnectionError("the layer is down")
        self.wake()

    def hang(self, *methods: str, name: str | None = None) -> None:
        """Let calls of these methods wait, or only those for a group or channel."""
        self._hanging, self._name = set(methods), name
        self.wake()

    def swallow(self, *methods: str) -> None:
        """Let calls of these methods never return, even after `resume`."""
        self._swallows = True
        self.hang(*methods)

    def lose_answers(self, *methods: str) -> None:
        """Let calls of these methods take effect, and then fail, as everything does from then."""
        self._unanswered = set(methods)

    def _answer(self, method: str) -> None:
        if method in self._unanswered:
            self.fail(ConnectionError("the answer is lost"))
            assert self.error is not None
            raise self.error

    def resume(self) -> None:
        """End what `fail`, `hang` and `lose_answers` began."""
        self.error = None
        self._unanswered = set()
        self._swallows = False
        self.hang()

    @property
    def troubled(self) -> bool:
        """Whether calls may fail or hang."""
        return self.error is not None or bool(self._hanging)

    def wake(self) -> None:
        """Let waiting calls look again."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def _pass(self, method: str, name: str = "") -> None:
        self.calls[method] += 1
        await asyncio.sleep(0)  # a network is never at once
        while self._holds(method, name):
            self.held += 1
            try:
                await self._wait()
            finally:
                self.held -= 1
        if self.error is not None:
            raise self.error

    def _holds(self, method: str, name: str) -> bool:
        return method in self._hanging and self._name in (None, name) and self.error is None

    async def _wait(self) -> None:
        if self._swallows:
            await asyncio.Event().wait()
        await self._changed.wait()
        if self.error is not None:
            raise self.error

    # The API

    async def new_channel(self, prefix: str = "specific") -> str:
        await self._pass("new_channel")
        return f"{prefix}.{self._number}!{next(self._names)}"

    async def send(self, channel: str, message: dict[str, Any]) -> None:
        await self._pass("send", channel)
        if not self._bus.put(channel, message):
            raise ChannelFull
        self._answer("send")

    async def receive(self, channel: str) -> dict[str, Any]:
        await self._pass("receive")
        queue = self._bus.queues.setdefault(channel, deque())
        while not queue or self._holds("receive", channel):
            await self._wait()
        message: dict[str, Any] = msgspec.msgpack.decode(queue.popleft())
        return message

    async def group_add(self, group: str, channel: str) -> None:
        await self._pass("group_add", group)
        self._bus.groups.setdefault(group, set()).add(channel)

    async def group_discard(self, group: str, channel: str) -> None:
        await self._pass("group_discard")
        self._bus.groups.get(group, set()).discard(channel)

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        await self._pass("group_send", group)
        for channel in sorted(self._bus.groups.get(group, ())):
            self._bus.put(channel, message)
        if message.get("number"):  # beats are answered, so that a test knows whose answer is lost
            self._answer("group_send")
