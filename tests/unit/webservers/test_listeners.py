"""The sockets on which a server listens: what the log tells of them."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from pytest_django import Settings
from twisted.internet.address import IPv4Address

from realtime.asgi import Realtime
from realtime.hub.hub import Hub
from realtime.webservers import listeners

from ..peers import PEERS, Transport, TwistedTransport
from ..probes import DEADLINE

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def listen(stack: ExitStack, backlog: int, host: str = "127.0.0.1") -> socket.socket:
    """Listen on a free port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = stack.enter_context(socket.socket(family))
    listening.bind((host, 0))
    listening.listen(backlog)
    return listening


def come(stack: ExitStack, listening: socket.socket, count: int) -> None:
    """Connect, or try to, and do not wait for it."""
    for _ in range(count):
        client = stack.enter_context(socket.socket(listening.family))
        client.setblocking(False)
        client.connect_ex(listening.getsockname())


def lines(records: list[Any], word: str) -> list[dict[str, Any]]:
    """Return the fields of the lines of one kind."""
    return [each.realtime for each in records if each.getMessage().split()[0] == word]


async def until_logged(records: list[Any], word: str) -> list[dict[str, Any]]:
    """Wait for a line of that kind; return all of them."""
    async with asyncio.timeout(DEADLINE):
        while not lines(records, word):
            await asyncio.sleep(0.005)
    return lines(records, word)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_listener_is_found_with_its_backlog(stack: ExitStack, host: str) -> None:
    listening = listen(stack, 7, host)
    address, port = f"[{host}]" if ":" in host else host, listening.getsockname()[1]
    (found,) = listeners.find_listeners(port)
    assert (found.descriptor, found.address) == (listening.fileno(), f"{address}:{port}")
    assert (found.backlog, found.dropped) == (7, 0)
    come(stack, listening, 3)
    assert listening.accept(), "it is as it was"


def test_other_files_are_no_listeners(stack: ExitStack) -> None:
    listening = listen(stack, 7)
    client = stack.enter_context(socket.create_connection(listening.getsockname()))
    datagrams = stack.enter_context(socket.socket(type=socket.SOCK_DGRAM))
    local, _ = (stack.enter_context(each) for each in socket.socketpair())
    for each in (client, datagrams, local):
        assert listeners.examine(each.fileno()) is None
    with Path(__file__).open(encoding="utf-8") as file:
        assert listeners.examine(file.fileno()) is None
    assert listeners.examine(10**6) is None


def test_those_who_find_no_room_are_counted(stack: ExitStack, records: list[Any]) -> None:
    listening = listen(stack, 3)
    first = listeners.examine(listening.fileno())
    assert first is not None
    come(stack, listening, 3)
    second = listeners.check_drops(first)
    assert second is not None
    assert lines(records, "connections-dropped") == []
    come(stack, listening, 20)
    third = listeners.check_drops(second)
    assert third is not None
    (line,) = lines(records, "connections-dropped")
    assert line["address"] == third.address
    assert line["backlog"] == 3
    assert 0 < line["dropped"] == third.dropped
    assert "backlog=2048" in line["hint"]


def test_what_has_another_socket_in_its_place_is_not_watched(stack: ExitStack) -> None:
    listening = listen(stack, 3)
    found = listeners.examine(listening.fileno())
    assert found is not None
    assert listeners.check_drops(found._replace(inode=found.inode + 1)) is None
    listening.close()
    assert listeners.check_drops(found) is None


@pytest.mark.parametrize(
    ("backlog", "debug", "logged"), [(50, False, 1), (50, True, 0), (2048, False, 0)]
)
def test_a_small_backlog_is_logged_in_production(
    stack: ExitStack,
    records: list[Any],
    settings: Settings,
    backlog: int,
    debug: bool,
    logged: int,
) -> None:
    settings.DEBUG = debug
    found = listeners.examine(listen(stack, backlog).fileno())
    assert found is not None
    listeners.note_backlog(found)
    assert len(lines(records, "backlog-small")) == logged


@pytest.mark.parametrize("kind", PEERS)
async def test_a_server_is_watched_from_its_first_client_on(
    kind: str, stack: ExitStack, records: list[Any], hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listeners, "INTERVAL", 0.01)
    listening, other = listen(stack, 3), listen(stack, 3)
    port = listening.getsockname()[1]
    monkeypatch.setattr(Transport, "server", ("127.0.0.1", port))
    monkeypatch.setattr(
        TwistedTransport, "getHost", lambda transport: IPv4Address("TCP", "127.0.0.1", port)
    )

    async def nothing(scope: Any, receive: Any, send: Any) -> None: ...

    peer = PEERS[kind](Realtime(nothing))
    await peer.connect()
    (line,) = await until_logged(records, "backlog-small")
    assert (line["address"], line["backlog"]) == (f"127.0.0.1:{port}", 3)
    come(stack, other, 20)
    come(stack, listening, 20)
    assert {each["address"] for each in await until_logged(records, "connections-dropped")} == {
        f"127.0.0.1:{port}"
    }
    peer.transport.fail(ConnectionResetError())
    await peer.until(lambda: not hub.connections)
