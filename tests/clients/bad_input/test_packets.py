"""Packets that break the protocol."""

from __future__ import annotations

import httpx
import pytest

from tests.clients.bad_input.conftest import PLACEHOLDER
from tests.clients.wire import SEPARATOR, Frame, Polling, open_socket, open_wire
from tests.live import EVERY_KIND, LiveServer

pytestmark = pytest.mark.parametrize("kind", EVERY_KIND, indirect=True)

DEEP = 100_000

BAD_ENGINE_PACKETS: list[Frame] = ["", "abc", "7", "-1", "\x00", "é", "{}", "0", "0{}", "2", "5"]

BAD_SOCKET_PACKETS: list[tuple[Frame, ...]] = [
    ("4",),
    ("4abc",),
    ("47",),
    ("49[]",),
    ("4é",),
    # CONNECT, DISCONNECT and CONNECT_ERROR
    ("40/orders,[1]",),
    ('40/orders,"x"',),
    ("40/orders,1",),
    ("40/orders,{",),
    ("41/lab,{}",),
    ("41/lab,1",),
    ('44/lab,{"message":"x"}',),
    # EVENT
    ("42/lab",),
    ("42/lab,",),
    ("42/lab,{}",),
    ("42/lab,[]",),
    ("42/lab,[true]",),
    ("42/lab,[null]",),
    ('42/lab,[["echo"]]',),
    ('42/lab,"echo"',),
    ('42/lab,["connect"]',),
    ('42/lab,["connect_error"]',),
    ('42/lab,["disconnect"]',),
    ('42/lab,["disconnecting"]',),
    ('42/lab,["newListener"]',),
    ('42/lab,["removeListener"]',),
    ('42/lab,["echo"',),
    ('42/lab,["echo"]x',),
    ('42/lab,["echo",NaN]',),
    ('42/lab,["echo",]',),
    ("42/lab,['echo']",),
    ('42/lab,-1["echo"]',),
    ('42/lab,abc["echo"]',),
    ('42/lab,99999999999999999999["echo"]',),
    ("42/lab," + "9" * 10_000 + '["echo"]',),
    ('42/lab,["echo",' + "[" * DEEP + "]" * DEEP + "]",),
    ('42/lab,["echo",' + '{"a":' * DEEP + "1" + "}" * DEEP + "]",),
    ("42/lab," + "[" * DEEP,),
    # ACK
    ("43/lab,[1]",),
    ("43/lab,1",),
    ("43/lab,1{}",),
    ("43/lab,99999999999999999999[]",),
    # Binary: counts, placeholders and attachments
    ('45/lab,["echo"]',),
    ('45-/lab,["echo"]',),
    ('451/lab,["echo"]',),
    ('45x-/lab,["echo"]',),
    ('45-1-/lab,["echo"]',),
    (f'4599999999999-/lab,["echo",{PLACEHOLDER}]',),
    (f'451000000-/lab,["echo",{PLACEHOLDER}]',),
    ('451-/lab,["echo",{"_placeholder":true,"num":1}]', b"x"),
    ('451-/lab,["echo",{"_placeholder":true,"num":-1}]', b"x"),
    ('451-/lab,["echo",{"_placeholder":true,"num":"0"}]', b"x"),
    ('451-/lab,["echo",{"_placeholder":true,"num":0.5}]', b"x"),
    ('451-/lab,["echo",{"_placeholder":true}]', b"x"),
    ("451-/lab,{}", b"x"),
    (f"461-/lab,[{PLACEHOLDER}]", b"x"),
    (b"",),
    (b"binary without a header",),
    (f'451-/lab,["echo",{PLACEHOLDER}]', '42/lab,["echo"]'),
    (f'452-/lab,["echo",{PLACEHOLDER}]', b"one of two", '42/lab,["echo"]'),
]

BAD_INPUTS = [*((packet,) for packet in BAD_ENGINE_PACKETS), *BAD_SOCKET_PACKETS]


def short(frames: tuple[Frame, ...]) -> str:
    """Return frames as a test's report shows them."""
    return repr(frames)[:100]


async def test_broken_packets_over_websocket(server: LiveServer) -> None:
    harmless = []
    for frames in BAD_INPUTS:
        async with open_socket(server) as (wire, sid):
            try:
                await wire.send(*frames)
                await wire.closed()
                await server.logged(rf'disconnect .*{sid}.*reason="parse error"')
            except TimeoutError:
                harmless.append(short(frames))
    assert harmless == []


def polling_body(frames: tuple[Frame, ...]) -> str:
    """Return a payload."""
    return SEPARATOR.join("beA==" if isinstance(frame, bytes) else frame for frame in frames)


async def test_broken_packets_over_polling(server: LiveServer, http: httpx.AsyncClient) -> None:
    harmless = []
    for frames in BAD_INPUTS:
        polling = await Polling.open(http)
        sid = await polling.join_namespace("/lab")
        response = await polling.post(polling_body(frames))
        if response.status_code not in (200, 400) or not await polling.is_gone():
            harmless.append(short(frames))
        else:
            await server.logged(rf'disconnect .*{sid}.*reason="parse error"')
    assert harmless == []


@pytest.mark.parametrize(
    "packet", ['42["echo"]', "41", "430[]", '42/lab,["echo"]', '44{"message":"x"}', b"bytes"]
)
async def test_packets_before_connect(server: LiveServer, packet: Frame) -> None:
    async with open_wire(server) as wire:
        await wire.send(packet)
        await wire.closed()


async def test_packets_after_the_server_closed_the_namespace(server: LiveServer) -> None:
    async with open_socket(server) as (wire, _):
        await wire.join_namespace("/orders")
        await wire.send('42/lab,["kick"]', '42/lab,1["echo","too late"]', "41/lab,")
        assert await wire.receive() == "41/lab,"
        await wire.join_namespace("/lab")
        assert await wire.call("/lab", "echo", "again") == "again"
