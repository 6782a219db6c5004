"""Live servers as fixtures: shared ones for most tests, and new ones for tests that stop them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.live import KINDS, LiveServer

ServerFactory = Callable[..., LiveServer]


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Each kind of server in turn."""
    return str(request.param)


@pytest.fixture(scope="session")
def shared_server() -> Iterator[ServerFactory]:
    """
    A function ``(kind, **realtime)`` that returns a running server with these settings.

    Tests of one process share it: they tell their clients apart by sid and by their own rooms.
    """
    servers: dict[str, LiveServer] = {}

    def get(kind: str, **realtime: Any) -> LiveServer:
        key = json.dumps([kind, realtime], sort_keys=True)
        if key not in servers:
            servers[key] = LiveServer(kind, realtime=realtime)
        if not servers[key].running:
            servers[key].start()
        return servers[key]

    yield get
    for server in servers.values():
        server.stop(timeout=5)


@pytest.fixture
def server(kind: str, shared_server: ServerFactory) -> LiveServer:
    """A running server of each kind with the demo's settings, shared with other tests."""
    return shared_server(kind)


@pytest.fixture
def new_server() -> Iterator[ServerFactory]:
    """A function with the arguments of `LiveServer` that starts one for this test alone."""
    servers: list[LiveServer] = []

    def start(*args: Any, **options: Any) -> LiveServer:
        server = LiveServer(*args, **options)
        servers.append(server)
        server.start()
        return server

    yield start
    for server in servers:
        server.stop(timeout=5)
