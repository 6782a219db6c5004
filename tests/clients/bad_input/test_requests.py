"""Requests that are refused, and requests of one polling session at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import httpx
import pytest

from tests.clients.wire import (
    DEADLINE,
    PATH,
    DeafClient,
    Polling,
    engine_query,
    eventually,
    open_socket,
)
from tests.live import EVERY_KIND, LiveServer
from tests.ports import HOST

pytestmark = pytest.mark.parametrize("kind", EVERY_KIND, indirect=True)


@pytest.mark.parametrize(
    ("method", "query", "code", "message"),
    [
        ("GET", "EIO=4", 0, "Transport unknown"),
        ("GET", "EIO=4&transport=carrier-pigeon", 0, "Transport unknown"),
        ("GET", "EIO=4&transport=POLLING", 0, "Transport unknown"),
        ("GET", "EIO=4&transport=%00%ff", 0, "Transport unknown"),
        ("GET", "EIO=4&transport=polling&sid=unknown", 1, "Session ID unknown"),
        ("POST", "EIO=4&transport=polling&sid=unknown", 1, "Session ID unknown"),
        ("GET", "EIO=4&transport=polling&sid=__proto__", 1, "Session ID unknown"),
        ("GET", "EIO=4&transport=polling&sid=%00%ff%0a", 1, "Session ID unknown"),
        ("GET", "EIO=4&transport=polling&sid=" + "x" * 4000, 1, "Session ID unknown"),
        ("POST", "EIO=4&transport=polling", 2, "Bad handshake method"),
        ("PUT", "EIO=4&transport=polling", 2, "Bad handshake method"),
        ("GET", "EIO=4&transport=websocket", 3, "Bad request"),
        ("GET", "EIO=3&transport=polling", 5, "Unsupported protocol version"),
        ("GET", "EIO=5&transport=polling", 5, "Unsupported protocol version"),
        ("GET", "transport=polling", 5, "Unsupported protocol version"),
        ("GET", "EIO=4%00&transport=polling", 5, "Unsupported protocol version"),
    ],
)
async def test_bad_requests(
    http: httpx.AsyncClient, method: str, query: str, code: int, message: str
) -> None:
    response = await http.request(method, f"{PATH}?{query}")
    assert response.status_code == 400
    assert response.json() == {"code": code, "message": message}


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH"])
async def test_bad_method_on_a_session(http: httpx.AsyncClient, method: str) -> None:
    polling = await Polling.open(http)
    response = await http.request(method, PATH, params=engine_query(sid=polling.sid))
    assert (response.status_code, response.json()["code"]) == (400, 3)
    await polling.join_namespace("/lab")


async def test_polling_session_asked_as_websocket(http: httpx.AsyncClient) -> None:
    polling = await Polling.open(http)
    response = await http.get(PATH, params=engine_query("websocket", sid=polling.sid))
    assert (response.status_code, response.json()["code"]) == (400, 3)
    await polling.join_namespace("/lab")


async def test_socket_sid_is_no_session_id(server: LiveServer, http: httpx.AsyncClient) -> None:
    async with open_socket(server) as (_, sid):
        response = await http.get(PATH, params=engine_query(sid=sid))
        assert (response.status_code, response.json()["code"]) == (400, 1)


async def test_binary_content_type(http: httpx.AsyncClient) -> None:
    polling = await Polling.open(http)
    headers = {"content-type": "application/octet-stream"}
    assert (await polling.post(b"4abc", headers=headers)).status_code == 400


# Two requests of one polling session at once


async def test_two_polls_at_once(server: LiveServer, http: httpx.AsyncClient) -> None:
    polling = await Polling.open(http)
    sid = await polling.join_namespace("/lab")
    responses = await asyncio.gather(polling.get(), polling.get())
    assert sorted(response.status_code for response in responses) == [200, 400]
    await server.logged(rf'disconnect .*{sid}.*reason="transport error"')
    assert await polling.is_gone()


async def test_two_posts_at_once(server: LiveServer, http: httpx.AsyncClient, kind: str) -> None:
    polling = await Polling.open(http)
    sid = await polling.join_namespace("/lab")
    started, go_on = asyncio.Event(), asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        yield b"42/lab,"
        started.set()
        await go_on.wait()
        yield b'1["echo"]'

    first = asyncio.create_task(polling.post(slowly()))
    await started.wait()
    if kind.startswith("daphne"):
        # It gives nobody a request before its body is complete: they follow each other.
        await polling.send("3")
        go_on.set()
        assert (await first).text == "ok"
        assert await polling.receive() == "43/lab,1[]"
        return
    second = await eventually(lambda: overlap(polling))
    assert second.status_code == 400
    go_on.set()
    with suppress(httpx.TransportError):
        assert (await first).status_code == 400
    await server.logged(rf'disconnect .*{sid}.*reason="transport error"')
    assert await polling.is_gone()


async def overlap(polling: Polling) -> httpx.Response | None:
    """Send a POST; return the answer once the server sees that another one is under way."""
    response = await polling.post("3")
    return None if response.status_code == 200 else response


async def test_poll_that_hangs_up(server: LiveServer, http: httpx.AsyncClient) -> None:
    polling = await Polling.open(http)
    sid = await polling.join_namespace("/lab")
    hang_up = httpx.Timeout(DEADLINE, read=0.3)
    with pytest.raises(httpx.ReadTimeout):
        await http.get(PATH, params=engine_query(sid=polling.sid), timeout=hang_up)
    await server.logged(rf'disconnect .*{sid}.*reason="transport close"')


async def test_post_that_hangs_up(server: LiveServer, http: httpx.AsyncClient) -> None:
    polling = await Polling.open(http)
    await polling.join_namespace("/lab")
    client = await DeafClient.connect(server)
    client.write(
        f"POST {PATH}?{httpx.QueryParams(engine_query(sid=polling.sid))} HTTP/1.1\r\n"
        f"Host: {HOST}:{server.port}\r\nContent-Length: 1000\r\n\r\n42/lab,".encode()
    )
    client.abort()
    for _ in range(3):  # nothing tells when a server has seen a hang-up; other requests take longer
        await http.get("/clients-count")
    await polling.send('42/lab,1["echo"]')
    assert await polling.receive() == "43/lab,1[]"
