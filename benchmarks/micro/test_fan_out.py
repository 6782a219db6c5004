"""What a broadcast costs for each receiver: choosing the sockets, and writing to each."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from realtime.cluster.targets import Target
from realtime.hub.registry import Registry
from realtime.protocol.frames import Frames
from realtime.webservers.daphne import DaphneAdapter
from realtime.webservers.uvicorn import UvicornAdapter
from realtime.webservers.writers import TransportWriter, Writer

MEMBERS = 500


class FakeSocket:
    """Something in rooms."""

    def __init__(self, number: int) -> None:
        self.sid = f"server{number:020}"
        self.namespace = "/"
        self.rooms = {"all", f"room{number % 20}"}


@pytest.fixture
def registry() -> Registry:
    """500 sockets in one room, and in 20."""
    registry = Registry(lambda *_: None, lambda *_: None, lambda name: name.startswith("server"))
    for number in range(MEMBERS):
        socket: Any = FakeSocket(number)
        registry.add(socket)
        for room in socket.rooms:
            registry.join(socket, room)
    return registry


TARGETS = {
    "namespace": Target("/"),
    "room": Target("/", ("all",)),
    "two rooms": Target("/", ("room1", "room2")),
    "all but one": Target("/", ("all",), (f"server{7:020}",)),
    "client": Target("/", (f"server{7:020}",)),
}


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_select(benchmark: BenchmarkFixture, registry: Registry, target: Target) -> None:
    assert benchmark(registry.select, target)


class FakeTransport:
    """Takes bytes as uvicorn's and daphne's transports do, and sends nothing."""

    dataBuffer = b""  # noqa: N815
    offset = _tempDataLen = 0  # noqa: N815
    connected, disconnecting = True, False

    def __init__(self) -> None:
        self.writes = 0

    def write(self, data: bytes) -> None:
        self.writes += 1

    def writelines(self, parts: list[bytes]) -> None:
        self.writes += 1

    def writeSomeData(self, data: bytes) -> int:  # noqa: N802
        self.writes += 1
        return len(data)

    def is_closing(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0


class FakeUvicornProtocol:
    """The part of uvicorn's protocol that frames are written by."""

    def __init__(self) -> None:
        self.transport = FakeTransport()


class FakeDaphneProtocol:
    """The part of daphne's protocol that frames are written by."""

    STATE_OPEN = state = 3

    def __init__(self) -> None:
        self.transport = FakeTransport()


def _spawn(work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    return asyncio.get_running_loop().create_task(work)


def _uvicorn_writer() -> Writer:
    return TransportWriter(UvicornAdapter(FakeUvicornProtocol(), _spawn))


def _daphne_writer() -> Writer:
    return TransportWriter(DaphneAdapter(FakeDaphneProtocol(), _spawn))


@pytest.mark.parametrize("make", [_uvicorn_writer, _daphne_writer], ids=["uvicorn", "daphne"])
def test_write_to_all(benchmark: BenchmarkFixture, make: Callable[[], Writer]) -> None:
    """Four messages to each of 500 clients, and the turn of the loop that sends them."""
    loop = asyncio.new_event_loop()

    async def make_all() -> list[Writer]:
        return [make() for _ in range(MEMBERS)]

    writers = loop.run_until_complete(make_all())
    messages = [Frames(f'42["news","{number}{"x" * 100}"]') for number in range(4)]

    async def write() -> None:
        for frames in messages:
            for writer in writers:
                if writer.buffered == 0 or frames.size:
                    writer.write(frames)
        await asyncio.sleep(0)

    benchmark(lambda: loop.run_until_complete(write()))
    loop.close()
