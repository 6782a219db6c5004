"""What is known of a client that nobody reads from."""

from __future__ import annotations

import socket
import struct
import sys
from collections.abc import Iterator

import pytest

from realtime.webservers.unread import count_unconfirmed, has_hung_up
from tests.unit.probes import DEADLINE

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux knows")

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    """The two ends of a TCP connection: the server's, and the client's."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(listener.getsockname())
        server, _ = listener.accept()
    client.settimeout(DEADLINE)
    with server, client:
        yield server, client


def wait_for(server: socket.socket) -> None:
    """Wait until something has come, such as an end behind bytes."""
    import select

    poll = select.poll()
    poll.register(server, select.POLLRDHUP)
    assert poll.poll(DEADLINE * 1000)


@pytest.mark.parametrize("unread", [b"", b"x" * 1000])
@pytest.mark.parametrize("end", ["FIN", "half", "RST"])
def test_an_end_is_known_before_it_is_read(pair: Pair, end: str, unread: bytes) -> None:
    server, client = pair
    client.sendall(unread)
    assert not has_hung_up(server.fileno())
    if end == "RST":
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    if end == "half":
        client.shutdown(socket.SHUT_WR)
    else:
        client.close()
    wait_for(server)
    assert has_hung_up(server.fileno())


def test_what_the_other_side_has_not_taken(pair: Pair) -> None:
    server, client = pair
    server.setblocking(False)
    assert count_unconfirmed(server.fileno()) == 0
    sent = 0
    while True:
        try:
            sent += server.send(b"x" * 65_536)
        except BlockingIOError:
            break
    assert 0 < count_unconfirmed(server.fileno()) <= sent
    while sent:
        sent -= len(client.recv(65_536))
    client.sendall(b"x")
    server.setblocking(True)
    assert server.recv(1) == b"x"
    assert count_unconfirmed(server.fileno()) == 0
    assert not has_hung_up(server.fileno())


def test_what_is_no_socket() -> None:
    with socket.socket() as plug:
        closed = plug.fileno()
    for descriptor in (-1, closed):
        assert count_unconfirmed(descriptor) == 0
    assert not has_hung_up(-1)
