"""What is private to servers: all of it is known and checked, and what does not fit is let be."""

from __future__ import annotations

import ast
import inspect
from collections.abc import AsyncIterator, Mapping
from functools import partial
from types import ModuleType
from typing import Any

import pytest
from channels.sessions import InstanceSessionWrapper
from twisted.internet.interfaces import ISSLTransport
from websockets.frames import Opcode
from zope.interface import directlyProvides

from realtime import NamespaceConsumer, event
from realtime.asgi import Realtime
from realtime.hub.hub import Hub
from realtime.transports.connection import Connection
from realtime.webservers import adapters
from realtime.webservers import daphne as on_daphne
from realtime.webservers import uvicorn as on_uvicorn
from realtime.webservers.adapters import Adapter, Package, find_unknown
from realtime.webservers.daphne import DaphneAdapter
from realtime.webservers.detect import ADAPTERS
from realtime.webservers.direct import DirectReader
from realtime.webservers.slimming import replaced
from realtime.webservers.uvicorn import UvicornAdapter, WsprotoAdapter
from realtime.webservers.writers import AsgiWriter, TransportWriter

from ..conftest import Serve
from ..peers import PEERS, Peer, frame, new_peer, wire

KINDS: dict[str, type[Adapter]] = {
    "daphne": DaphneAdapter,
    "uvicorn": UvicornAdapter,
    "uvicorn-wsproto": WsprotoAdapter,
}
every_kind = pytest.mark.parametrize("kind", KINDS)

# All that is used of servers' own objects. A new name here is one more that may change.
NAMES = {
    "daphne": {
        "protocol": "transport state STATE_OPEN STATE_CLOSED data application_queue dataReceived "
        "connectionLost sendCloseFrame last_ping muted autoPingTimeoutCall "
        "_cancelAutoPingTimeoutCall _perMessageCompress path",
        "protocol.application_queue": "get get_nowait put_nowait empty",
        "transport": "protocol connected disconnecting abortConnection dataBuffer offset "
        "_tempDataLen write writeSomeData producer registerProducer unregisterProducer "
        "pauseProducing resumeProducing fileno",
    },
    "uvicorn": {
        "protocol": "transport send receive data_received eof_received connection_lost "
        "pause_writing resume_writing conn config logger frames queue writable request response "
        "stop_keepalive",
        "protocol.conn": "extensions reader",
        "protocol.conn.reader": "buffer",
        "protocol.config": "ws_max_size",
        "protocol.queue": "empty",
        "protocol.writable": "is_set",
        "transport": "get_protocol set_protocol is_closing abort pause_reading resume_reading "
        "get_extra_info write writelines get_write_buffer_size set_write_buffer_limits",
    },
    "uvicorn-wsproto": {
        "protocol": "transport send receive data_received eof_received connection_lost "
        "pause_writing resume_writing",
        "transport": "get_protocol set_protocol is_closing abort pause_reading resume_reading "
        "get_extra_info write writelines get_write_buffer_size set_write_buffer_limits",
    },
}

# What slim classes have in the place of their objects.
REPLACED = {
    on_daphne: "http_request_data http_status_line http_headers http_request_uri http_request_path "
    "http_request_params http_request_host http_response_data websocket_protocols "
    "websocket_extensions perMessageCompressionAccept clean_headers server_addr "
    "application_deferred is_open _wskey _raw_query_string _transport_details _valid_events "
    "_results application_queue is_closed request send_queue trafficStats utf8validator "
    "websocket_extensions_in_use",
    on_uvicorn: "request response conn frames queue writable",
}


class Main(NamespaceConsumer):
    """Answers."""

    @event
    async def double(self, value: str) -> str:
        return value * 2


@pytest.fixture(autouse=True)
def _nothing_noted(monkeypatch: pytest.MonkeyPatch, serve: Serve) -> None:
    monkeypatch.setattr(adapters, "_noted", set())
    serve(Main)


@pytest.fixture
async def peer(kind: str, hub: Hub) -> AsyncIterator[Peer]:
    """A client that is not connected yet."""
    async with new_peer(kind, hub) as peer:
        yield peer


async def converse(peer: Peer, hub: Hub) -> Connection:
    """Connect, and see that frames come and go, short ones and long ones; return the connection."""
    await peer.connect()
    (connection,) = hub.connections.values()
    for number, size in enumerate((1, 200, 40_000)):
        text = chr(97 + number) * size
        await peer.until(lambda: peer.transport.reading)
        peer.receive(wire(f'42{number}["double","{text}"]'))
        await peer.until_sent(f'43{number}["{text * 2}"]')
    peer.receive(frame(Opcode.PING, b"there"))
    await peer.until_sent("\x05there")
    return connection


def reasons(records: list[Any]) -> list[str]:
    """Return what was logged of servers that do not fit."""
    return [
        each.realtime["reason"] for each in records if each.getMessage().startswith("server-unk")
    ]


def is_plain(connection: Connection) -> bool:
    """Tell whether frames leave through ASGI."""
    return isinstance(connection.writer, AsgiWriter)


# The names


@every_kind
def test_the_names_that_are_used(kind: str) -> None:
    names = {place: set(text.split()) for place, text in NAMES[kind].items()}
    assert {place: set(each) for place, each in KINDS[kind].names.items()} == names


@pytest.mark.parametrize("module", REPLACED, ids=lambda module: module.__name__)
def test_what_slim_classes_replace(module: ModuleType) -> None:
    assert replaced(module.slim_class()) == set(REPLACED[module].split())


class Uses(ast.NodeVisitor):
    """Finds the attributes that a module uses of its server's objects."""

    def __init__(self, aliases: Mapping[str, str]) -> None:
        self.found: set[tuple[str, str]] = set()
        self._aliases = aliases
        self._self = "self"

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._self = "protocol" if node.name == "SlimProtocol" else "self"
        self.generic_visit(node)
        self._self = "self"

    def visit_Attribute(self, node: ast.Attribute) -> None:
        place = self._place(node.value)
        if place.startswith(("protocol", "transport")):
            self.found.add((place, node.attr))
        self.generic_visit(node)

    def _place(self, node: ast.expr) -> str:
        if isinstance(node, ast.Attribute):
            place = f"{self._place(node.value)}.{node.attr}"
            return place.removeprefix("self.").removeprefix("adapter.")
        name = node.id if isinstance(node, ast.Name) else "?"
        return self._self if name == "self" else self._aliases.get(name, name)


@pytest.mark.parametrize(
    ("module", "kinds", "aliases"),
    [
        (on_daphne, ["daphne"], {"queue": "protocol.application_queue"}),
        (on_uvicorn, ["uvicorn", "uvicorn-wsproto"], {}),
    ],
    ids=["daphne", "uvicorn"],
)
def test_no_other_name_is_used(
    module: ModuleType, kinds: list[str], aliases: dict[str, str]
) -> None:
    uses = Uses(aliases)
    uses.visit(ast.parse(inspect.getsource(module)))
    known = {
        (place, name)
        for kind in kinds
        for place, names in KINDS[kind].names.items()
        for name in names
    }
    assert len(uses.found) > 10
    used = {(place, name) for place, name in uses.found if place != "protocol.path"}
    assert used <= known


class Without:
    """An object that has lost an attribute, as if it had another name now."""

    def __init__(self, thing: Any, name: str) -> None:
        self._thing, self._name = thing, name

    def __getattr__(self, name: str) -> Any:
        if name == self._name:
            raise AttributeError(name)
        return getattr(self._thing, name)


ALL_NAMES = [
    (kind, place, name)
    for kind, adapter in KINDS.items()
    for place, names in adapter.names.items()
    for name in names
]


@pytest.mark.parametrize(("kind", "place", "name"), ALL_NAMES)
async def test_each_name_is_checked(
    peer: Peer, hub: Hub, kind: str, place: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = Adapter._find
    monkeypatch.setattr(
        Adapter,
        "_find",
        lambda adapter, where: (
            Without(find(adapter, where), name) if where == place else find(adapter, where)
        ),
    )
    await peer.connect()
    (connection,) = hub.connections.values()
    assert is_plain(connection)
    assert adapters._noted == {KINDS[kind].server}


# Servers that do not fit


@every_kind
async def test_a_server_that_fits_is_used_directly(
    peer: Peer, hub: Hub, records: list[Any], kind: str
) -> None:
    connection = await converse(peer, hub)
    assert isinstance(connection.writer, TransportWriter)
    assert type(connection.writer.adapter) is KINDS[kind]
    assert isinstance(peer.transport.protocol, DirectReader)
    assert reasons(records) == []


@every_kind
async def test_a_setting_leaves_all_servers_alone(
    peer: Peer, hub: Hub, records: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub.settings, "DIRECT_IO", False)
    assert is_plain(await converse(peer, hub))
    assert peer.transport.protocol is peer.server
    assert reasons(records) == []


@every_kind
async def test_empty_frames_are_sent_through_asgi(
    peer: Peer, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without one of its attachments an event would wait for the next one's."""
    monkeypatch.setattr(hub.settings, "DIRECT_IO", False)
    connection = await converse(peer, hub)
    for socket in connection.sockets.values():
        socket.consumer.emit("file", b"", "name", b"x")
    event = (
        b'\x81\x49452-["file",{"_placeholder":true,"num":0},"name",{"_placeholder":true,"num":1}]'
    )
    await peer.until_sent("\x01x")
    assert peer.transport.written.endswith(event[2:] + b"\x82\x00\x82\x01x")


CHANGES: dict[str, dict[str, Any]] = {
    "newer": {"first": (0, 0), "last": (0, 1)},
    "older": {"first": (9998, 0), "last": (9999, 0)},
    "missing": {"name": "no-such-package"},
}


PACKAGES = [(kind, number) for kind in KINDS for number in range(len(KINDS[kind].packages))]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize(("kind", "number"), PACKAGES)
async def test_other_versions_are_left_alone(
    peer: Peer,
    hub: Hub,
    records: list[Any],
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    number: int,
    change: str,
) -> None:
    packages = list(KINDS[kind].packages)
    packages[number] = packages[number]._replace(**CHANGES[change])
    monkeypatch.setattr(KINDS[kind], "packages", tuple(packages))
    assert is_plain(await converse(peer, hub))
    (reason,) = reasons(records)
    assert packages[number].name in reason


@pytest.mark.parametrize(
    ("first", "last", "known"), [(0, 0, True), (-1, 1, True), (1, 2, False), (-2, -1, False)]
)
def test_versions_have_two_bounds(first: int, last: int, known: bool) -> None:
    """Pytest's own version as the example, and bounds beside it."""
    major, minor = map(int, pytest.__version__.split(".")[:2])
    package = Package("pytest", (major, minor + first), (major, minor + last))
    assert (find_unknown((package,)) is None) is known


STEPS = ("find_protocol", "find_misfit", "is_fresh", "take_over", "quieten", "slim")


@pytest.mark.parametrize("step", STEPS)
@every_kind
async def test_whatever_fails_is_logged_once_and_the_client_served(
    peer: Peer,
    hub: Hub,
    records: list[Any],
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    step: str,
) -> None:
    def fault(*args: Any) -> Any:
        raise AttributeError("the test has renamed this")

    monkeypatch.setattr(KINDS[kind], step, fault)
    if step == "find_protocol":
        monkeypatch.setattr(KINDS[kind], step, staticmethod(fault))
    await converse(peer, hub)
    if (kind, step) == ("uvicorn-wsproto", "slim"):  # nothing of it is read directly
        return
    (reason,) = reasons(records)
    assert "the test has renamed this" in reason
    (line,) = (each for each in records if each.getMessage().startswith("server-unknown"))
    assert line.exc_info is not None
    again = PEERS[kind](peer.application)
    await again.connect()
    assert len(reasons(records)) == 1
    again.transport.fail(ConnectionResetError())


@every_kind
async def test_a_transport_that_is_somebody_elses(peer: Peer, hub: Hub, kind: str) -> None:
    """As where a site's own protocol stands between them already."""
    await peer.connect()
    adapter = KINDS[kind](peer.server, hub.spawn)
    assert "own" in adapter.find_misfit()


@every_kind
async def test_a_server_is_found_behind_session_middleware(kind: str, hub: Hub) -> None:
    async def nothing(scope: Any, receive: Any, send: Any) -> None: ...

    realtime = Realtime(nothing)

    async def with_sessions(scope: Any, receive: Any, send: Any) -> None:
        wrapper = InstanceSessionWrapper(scope | {"cookies": {}, "session": {}}, send)
        await realtime(scope, receive, wrapper.send)

    peer = PEERS[kind](with_sessions)
    assert not is_plain(await converse(peer, hub))
    peer.transport.fail(ConnectionResetError())
    await peer.until(lambda: not hub.connections)


@pytest.mark.parametrize("kind", ["daphne"])
async def test_daphnes_tls_is_left_to_daphne(peer: Peer, records: list[Any]) -> None:
    await peer.connect()
    send = partial(print, peer.server)
    assert DaphneAdapter.find_protocol(send) is peer.server
    assert on_daphne.find_scheme(send) == "ws"
    directlyProvides(peer.transport, ISSLTransport)
    assert DaphneAdapter.find_protocol(send) is None
    assert on_daphne.find_scheme(send) == "wss"
    assert reasons(records) == []


async def test_other_applications_of_the_same_kind_are_none_of_them(hub: Hub) -> None:
    class Foreign:
        transport = None

        async def send(self, message: Any) -> None: ...

    foreign = Foreign()
    for send in (foreign.send, partial(Foreign.send, foreign), partial(Foreign.send), print, None):
        for kind in ADAPTERS:
            assert kind.find_protocol(send) is None
