"""Origins and hosts: who is let in, and what a browser is told."""

from __future__ import annotations

import httpx
import pytest
from websockets.exceptions import InvalidStatus

from tests.clients.bad_input.conftest import FOREIGN, FRIEND
from tests.clients.wire import PATH, Polling, engine_path, engine_query, websocket
from tests.live import LiveServer


async def test_foreign_origin_over_polling(http: httpx.AsyncClient) -> None:
    for origin in (FOREIGN, "null", "https://friend.example.evil", "http://friend.example", "x"):
        response = await http.get(PATH, params=engine_query(), headers={"origin": origin})
        assert response.status_code == 403, origin
        assert response.json() == {"code": 4, "message": "Forbidden"}
        assert "access-control-allow-origin" not in response.headers


async def test_foreign_origin_over_websocket(server: LiveServer) -> None:
    for origin in (FOREIGN, "null", "http://127.0.0.1.evil"):
        with pytest.raises(InvalidStatus) as refused:
            async with websocket(server, engine_path(), origin=origin):
                pass
        assert refused.value.response.status_code == 403


@pytest.mark.parametrize("path", [engine_path(), "/ws/lab/"])
async def test_own_and_friendly_origins_over_websocket(server: LiveServer, path: str) -> None:
    for origin in (server.url, FRIEND):
        async with websocket(server, path, origin=origin) as connection:
            assert await connection.recv()


async def test_own_origin_over_polling(server: LiveServer, http: httpx.AsyncClient) -> None:
    response = await http.get(PATH, params=engine_query(), headers={"origin": server.url})
    assert response.status_code == 200


async def test_friendly_origin_over_polling(http: httpx.AsyncClient) -> None:
    http.headers["origin"] = FRIEND
    polling = await Polling.open(http)
    for response in (await polling.post("40/lab,"), await polling.get(), await polling.post("")):
        assert response.headers["access-control-allow-origin"] == FRIEND
        assert response.headers["access-control-allow-credentials"] == "true"
        assert "origin" in response.headers["vary"].lower()


async def test_preflight(http: httpx.AsyncClient) -> None:
    wish = {"access-control-request-method": "POST", "access-control-request-headers": "x-token"}
    allowed = await http.options(PATH, params=engine_query(), headers={"origin": FRIEND, **wish})
    assert allowed.status_code in (200, 204)
    assert allowed.headers["access-control-allow-origin"] == FRIEND
    assert allowed.headers["access-control-allow-credentials"] == "true"
    assert {"GET", "POST"} <= set(allowed.headers["access-control-allow-methods"].split(", "))
    assert "x-token" in allowed.headers["access-control-allow-headers"]
    refused = await http.options(PATH, params=engine_query(), headers={"origin": FOREIGN, **wish})
    assert refused.status_code == 403
    assert "access-control-allow-origin" not in refused.headers


async def test_wrong_host(http: httpx.AsyncClient) -> None:
    response = await http.get(PATH, params=engine_query(), headers={"host": "evil.example"})
    assert (response.status_code, response.json()["code"]) == (403, 4)
