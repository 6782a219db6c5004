"""What a consumer sees of its client's first request, on every transport and every server."""

from __future__ import annotations

import asyncio
import json

import pytest

from tests.clients.javascript import OPTIONS, Node
from tests.clients.wire import DeafClient, closed, engine_path, websocket
from tests.live import EVERY_KIND, LiveServer

pytestmark = pytest.mark.parametrize("kind", EVERY_KIND, indirect=True)


@pytest.mark.parametrize("way", OPTIONS)
async def test_the_first_request_of_the_official_client(
    node: Node, server: LiveServer, way: str
) -> None:
    await node.open(server, way, query={"lang": "de №1", "n": 1}, extraHeaders={"X-Tag": "kept"})
    lab = await node.socket("one", "/lab")
    assert await lab.call("header", "x-tag") == ["kept"]
    assert await lab.call("query_list", "lang") == [["de №1"]]
    first = "websocket" if way == "websocket" else "polling"
    assert await lab.call("query_list", "transport") == [[first]]
    upgrade = await lab.call("header", "Upgrade")
    assert upgrade == (["websocket"] if way == "websocket" else [])


async def test_a_plain_websocket(server: LiveServer) -> None:
    path = "/ws/lab/?lang=de&lang=en"
    async with websocket(server, path, additional_headers={"X-Tag": "kept"}) as plain:
        await plain.recv()
        for event, name, answer in (
            ("header", "X-TAG", "kept"),
            ("query_list", "lang", ["de", "en"]),
        ):
            await plain.send(json.dumps({"event": event, "args": [name], "id": 1}))
            assert json.loads(await plain.recv()) == {"ack": 1, "args": [answer]}


async def test_hostile_bytes_harm_nobody(server: LiveServer) -> None:
    """A server may refuse them; where they come through they are taken as they are."""
    since = len(server.log)
    client = await DeafClient.connect(server)
    head = (
        f"GET {engine_path()}&x=%FF%00&%=& HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n"
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    )
    client.write(head.encode() + b"X-Tag: \xff\xfe\x80\r\nX-Tag: more\r\n\r\n")
    answer = await asyncio.wait_for(client.reader.readuntil(b"\r\n\r\n"), 20)
    if answer.startswith(b"HTTP/1.1 101"):
        await client.join_namespace("/lab")
        client.send('42/lab,1["header","x-tag"]')
        assert json.loads((await client.read_frame()).removeprefix("43/lab,1")) == [
            "\xff\xfe\x80,more"
        ]
        client.send('42/lab,2["query_list","x"]')
        assert json.loads((await client.read_frame()).removeprefix("43/lab,2")) == [["\ufffd\0"]]
    client.abort()
    async with websocket(server, "/ws/lab/") as plain:
        await plain.recv()
        await plain.send('{"event": "kick"}')
        await closed(plain)
    assert "Traceback" not in server.log[since:]
