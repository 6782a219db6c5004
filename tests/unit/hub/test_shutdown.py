"""The hub closes before the server's own signal handlers run, of whichever kind they are."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
import uvloop

from realtime.hub.hub import Hub
from realtime.hub.shutdown import SIGNALS, SignalGuard

DEADLINE = 10


class FakeHub:
    """Notes in `happened` when it closes, which takes its time."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.signals = SignalGuard(cast(Hub, self))
        self.happened: list[str] = []
        self.let_go = asyncio.Event()

    async def close(self) -> None:
        self.happened.append("closing")
        async with asyncio.timeout(DEADLINE):
            await self.let_go.wait()
        self.happened.append("closed")
        self.signals.remove()

    def hurry(self) -> None:
        """Go on as before: what that does is the hub's."""


class Server:
    """A server's handlers for both signals, set as `how` says; and SIGUSR1, which is the site's."""

    def __init__(self, how: str, happened: list[str]) -> None:
        self.happened = happened
        self.stopped = asyncio.Event()
        self.other = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGUSR1, self.other.set)
        for number in SIGNALS:
            if how == "loop":
                loop.add_signal_handler(number, self.stop)
            else:
                signal.signal(number, lambda *_: loop.call_soon_threadsafe(self.stop))

    def stop(self) -> None:
        self.happened.append("stopped")
        self.stopped.set()


@pytest.fixture(autouse=True)
def _signals_as_before() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(params=["python", "loop"])
def how(request: pytest.FixtureRequest) -> str:
    """The two ways to handle a signal: Python's own, and the event loop's."""
    return str(request.param)


async def wait(event: asyncio.Event) -> None:
    async with asyncio.timeout(DEADLINE):
        await event.wait()


async def until(happened: list[str], *expected: str) -> None:
    async with asyncio.timeout(DEADLINE):
        while happened != list(expected):
            await asyncio.sleep(0)


@pytest.mark.parametrize("number", SIGNALS)
async def test_the_hub_closes_before_the_server_stops(how: str, number: int) -> None:
    hub = FakeHub()
    server = Server(how, hub.happened)
    hub.signals.install()
    signal.raise_signal(number)
    await until(hub.happened, "closing")
    hub.let_go.set()
    await wait(server.stopped)
    assert hub.happened == ["closing", "closed", "stopped"]


async def test_a_second_signal_does_not_wait(how: str) -> None:
    hub = FakeHub()
    server = Server(how, hub.happened)
    hub.signals.install()
    signal.raise_signal(signal.SIGTERM)
    await until(hub.happened, "closing")
    signal.raise_signal(signal.SIGINT)
    await wait(server.stopped)
    assert hub.happened == ["closing", "stopped"]
    hub.let_go.set()
    await until(hub.happened, "closing", "stopped", "closed", "stopped")


async def test_other_signals_pass(how: str) -> None:
    hub = FakeHub()
    server = Server(how, hub.happened)
    hub.signals.install()
    signal.raise_signal(signal.SIGUSR1)
    await wait(server.other)
    hub.signals.remove()
    server.other.clear()
    signal.raise_signal(signal.SIGUSR1)
    await wait(server.other)
    assert hub.happened == []


async def test_signals_are_given_back(how: str) -> None:
    hub = FakeHub()
    server = Server(how, hub.happened)
    before = [signal.getsignal(number) for number in SIGNALS]
    hub.signals.install()
    hub.signals.remove()
    assert [signal.getsignal(number) for number in SIGNALS] == before
    signal.raise_signal(signal.SIGTERM)
    await wait(server.stopped)
    assert hub.happened == ["stopped"]


async def test_a_server_that_closes_the_hub_itself_waits_with_the_signal() -> None:
    hub = Hub()
    first = asyncio.create_task(hub.close())
    await asyncio.sleep(0)
    second = asyncio.create_task(hub.close())
    async with asyncio.timeout(DEADLINE):
        await second
    assert first.done()


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_loop_that_is_stopped_and_started(new_loop: Callable[[], Any]) -> None:
    """As granian does between the start of the lifespan and its clients."""
    loop = new_loop()

    async def start() -> tuple[FakeHub, Server]:
        hub = FakeHub()
        server = Server("loop", hub.happened)
        hub.signals.install()
        return hub, server

    async def serve(hub: FakeHub, server: Server) -> None:
        hub.signals.keep()
        signal.raise_signal(signal.SIGTERM)
        await until(hub.happened, "closing")
        hub.let_go.set()
        await wait(server.stopped)

    try:
        hub, server = loop.run_until_complete(start())
        loop.run_until_complete(serve(hub, server))
    finally:
        loop.close()
    assert hub.happened == ["closing", "closed", "stopped"]
