"""The way to the clients of a cluster, from a process that serves some of them or from another."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeVar

from ..cluster.targets import Target
from ..exceptions import WouldDeadlock
from ..sockets import interfaces as sockets
from ..sockets.messages import Message
from .asking import call, send_to_client
from .calls import Answers
from .interfaces import Hub

Result = TypeVar("Result")


class Gateway(Protocol):
    """What `Broadcaster` needs. All methods may be called from any thread and any event loop."""

    def emit(self, target: Target, message: Message) -> None:
        """Send an event to a target."""

    def command(self, target: Target, action: str, names: tuple[str, ...]) -> None:
        """Let a target's sockets do `action` (see `envelopes.Command`)."""

    async def drain(self) -> None:
        """Wait until there is room for more messages."""

    async def flush_cluster(self) -> None:
        """Wait until all commands so far are in effect in the whole cluster."""

    async def call(self, target: Target, message: Message, timeout: float | None) -> Answers:
        """Send an event to a target and return the acknowledgements."""

    async def send_to_client(
        self, sid: str, namespace: str | None, event: str, args: tuple[Any, ...]
    ) -> bool:
        """Send an event to one client; tell if it is there."""

    def wait(self, work: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
        """Run async work on the gateway's loop and wait for it. Raises WouldDeadlock there."""


class HubGateway:
    """Leads through this process's hub."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def emit(self, target: Target, message: Message) -> None:
        self._hub.run(self._hub.emit, target, message)

    def command(self, target: Target, action: str, names: tuple[str, ...]) -> None:
        self._hub.run(self._hub.command, target, action, names)

    async def drain(self) -> None:
        await on_loop(self._hub.loop, self._hub.cluster.drain)

    async def flush_cluster(self) -> None:
        await on_loop(self._hub.loop, self._hub.flush_cluster)

    async def call(self, target: Target, message: Message, timeout: float | None) -> Answers:
        return await on_loop(self._hub.loop, lambda: call(self._hub, target, message, timeout))

    async def send_to_client(
        self, sid: str, namespace: str | None, event: str, args: tuple[Any, ...]
    ) -> bool:
        return await on_loop(
            self._hub.loop, lambda: send_to_client(self._hub, sid, namespace, event, args)
        )

    def wait(self, work: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
        return wait_on(self._hub, work)


def wait_on(hub: sockets.Hub, work: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
    """Run async work on a hub's loop, from another thread, and wait for it."""
    if hub.on_loop():
        raise WouldDeadlock("This blocks the event loop. Use the twin whose name starts with a.")
    return asyncio.run_coroutine_threadsafe(work(), hub.loop).result()


async def on_loop(
    loop: asyncio.AbstractEventLoop, work: Callable[[], Coroutine[Any, Any, Result]]
) -> Result:
    """Await work on a loop, from that loop or another."""
    if asyncio.get_running_loop() is loop:
        return await work()
    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work(), loop))
