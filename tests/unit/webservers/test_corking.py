"""Answers in one piece: what the socket is told, and where there is none of the kind."""

from __future__ import annotations

import socket
from types import SimpleNamespace
from typing import Any

import pytest
from channels.sessions import InstanceSessionWrapper

from realtime.webservers.corking import in_one_piece

CORK = getattr(socket, "TCP_CORK", None)

needs_linux = pytest.mark.skipif(CORK is None, reason="only Linux holds back what is written")


class Cycle:
    """What `send` belongs to at uvicorn's."""

    def __init__(self, connection: Any) -> None:
        self.transport = SimpleNamespace(get_extra_info={"socket": connection}.get)

    async def send(self, message: dict[str, Any]) -> None:
        """Do nothing."""


@needs_linux
def test_it_is_held_back_until_the_end_whatever_happens() -> None:
    assert CORK is not None
    with socket.socket() as connection:
        with in_one_piece(Cycle(connection).send):
            assert connection.getsockopt(socket.IPPROTO_TCP, CORK) == 1
        assert connection.getsockopt(socket.IPPROTO_TCP, CORK) == 0
        with pytest.raises(KeyError), in_one_piece(Cycle(connection).send):
            raise KeyError("of the site")
        assert connection.getsockopt(socket.IPPROTO_TCP, CORK) == 0


@needs_linux
def test_it_is_found_behind_the_session_middleware_of_channels() -> None:
    assert CORK is not None
    with socket.socket() as connection:
        scope = {"type": "http", "cookies": {}, "session": {}}
        wrapper = InstanceSessionWrapper(scope, Cycle(connection).send)
        with in_one_piece(wrapper.send):
            assert connection.getsockopt(socket.IPPROTO_TCP, CORK) == 1
        assert connection.getsockopt(socket.IPPROTO_TCP, CORK) == 0


@needs_linux
def test_sockets_of_other_kinds_are_left_alone() -> None:
    with socket.socket(socket.AF_UNIX) as connection, in_one_piece(Cycle(connection).send):
        pass
    connection = socket.socket()
    connection.close()
    for gone in (connection, None):
        with in_one_piece(Cycle(gone).send):
            pass


def test_other_servers_are_left_alone() -> None:
    async def send(message: dict[str, Any]) -> None:
        """Stand for a middleware's."""

    for other in (send, SimpleNamespace(), SimpleNamespace(__self__=SimpleNamespace(transport=1))):
        with in_one_piece(other):
            pass


@needs_linux
def test_what_ends_in_the_block_needs_no_end() -> None:
    with socket.socket() as connection, in_one_piece(Cycle(connection).send):
        connection.close()
